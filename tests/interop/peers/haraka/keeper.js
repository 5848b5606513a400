'use strict'
// Takes mail for everybody and files each message into a maildir, with its recipient in front, as the other peers do.

const fs = require('node:fs')
const path = require('node:path')

let number = 0

exports.register = function () {
    this.folder = process.env.KEEPER_FOLDER
    this.register_hook('rcpt', 'accept')
    this.register_hook('queue', 'keep')
    this.register_hook('queue_outbound', 'keep')
}

exports.accept = (next) => next(OK)

exports.keep = function (next, connection) {
    const transaction = connection.transaction
    const name = `${process.pid}.${++number}`
    const file = fs.createWriteStream(path.join(this.folder, 'tmp', name))
    file.on('error', (error) => next(DENYSOFT, error.message))
    file.on('close', () => {
        fs.renameSync(path.join(this.folder, 'tmp', name), path.join(this.folder, 'new', name))
        next(OK)
    })
    file.write(`Delivered-To: ${transaction.rcpt_to.map((one) => one.address).join(', ')}\r\n`)
    transaction.message_stream.pipe(file)
}
