'use strict'
// Accepts everything and sends everything to the sink.

exports.register = function () {
    this.register_hook('rcpt', 'accept')
    this.register_hook('get_mx', 'sink')
}

exports.accept = function (next, connection) {
    connection.relaying = true
    next(OK)
}

exports.sink = function (next) {
    next(OK, [{ priority: 0, exchange: '127.0.0.1', port: @SINK@ }])
}
