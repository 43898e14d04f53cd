"""A fleet of simulated people-counting cameras over real sockets, in one process.

`switches` says what may differ between firmwares and what may go wrong; `traffic` and `replay` say how many people
walked; `camera` turns that into Milesight answers, without a socket; `damage` spoils bodies; `server` speaks HTTP for
one camera; `fleet` runs many, and holds the demo fleet; `cli` is the command. Only the endpoints' names are shared
with the connectors: no parser or client code, so that a mistake there cannot cancel itself out here.
"""
