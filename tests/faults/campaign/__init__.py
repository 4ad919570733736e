"""The fault campaign: the whole platform at work while its processes and its bus are killed, frozen and parted."""
