"""The HTTP and websocket API of the simulated exchange.

Base address: `http://{exchange.host}:{exchange.port}`; every venue of the process is served here and named in
each request. The structs stand in `bestex.sim_wire`. JSON over HTTP; over websockets a text frame is JSON, a
binary frame MessagePack (encode with `bestex.codec`: decimals travel as text in both).

Order entry
    WS   /v1/trade
        One `AnyRequest` a frame; one `Answer` for each, in the order of the requests, in the encoding of the
        request, with the request's `id`. The answer to a submit already carries the order's state and its
        immediate fills.
    POST /v1/trade
        The same with JSON: a request in, its `Answer` out (always 200).
    A request that cannot be read is answered with ok=false and code "malformed".

User events
    WS   /v1/user?venue=V[&account=A][&format=json]
        `UserEvent`s of one account from now on, the fills of answered requests included. What happened
        before, or while disconnected, is read by the queries below.

Market data
    WS   /v1/md?venue=V[&symbol=S][&levels=20][&format=json]
        `BookFrame` and `TradeFrame`. On connecting, one book of each market; then every public trade, and a
        book whenever it changed, at most one per tick (10 ms). `seq` counts a market's frames; the first
        book carries the number of the last frame. A listener that falls too far behind is disconnected with
        close code 1013 and should connect again.

Queries (GET, JSON)
    /v1/ping
        `Pong`: the exchange's clock, and its venues.
    /v1/instruments[?venue=V]
        List of `MarketInfo`.
    /v1/fees[?venue=V]
        List of `Fees`.
    /v1/orders/{client_id}?venue=V[&account=A]
        `OrderState`; 404 with an `Answer` of code "unknown_order" where there is none.
    /v1/orders?venue=V[&account=A][&symbol=S]
        List of the open `OrderState`, oldest first.
    /v1/trades?venue=V[&account=A][&after=TRADE_ID][&since_ns=T][&client_id=C][&limit=1000]
        List of `Trade` with trade_id > after and at_ns >= since_ns, oldest first; at most `limit`, and one
        more where the two sides of one trade would be parted. A page shorter than `limit` is the last. Ask
        again from a little earlier than the last one seen, and count each trade id once.
    /v1/balances?venue=V[&account=A]
        `Balances`.
    /healthz, /readyz
        200 once orders are taken.

`account` is "default" where it is left out. A query that is wrong in itself is a 400 with an `Answer` that
says why. Requests, answers and user events each travel `exchange.latency` long; queries travel with the
requests and never overtake one. A request's effect is in the journal on disk before its answer leaves.
"""
