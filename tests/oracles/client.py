"""python-socketio as others use it, sync or async. Tells everything that its sockets emit.

Speaks the JSON lines of lines.mjs, with the actions of client.mjs.
"""

import asyncio
import json
import os
import sys
import threading
from urllib.parse import urlsplit

import socketio


# The sync client calls its listeners in threads of their own.
line_by_line = threading.Lock()


def write(message):
    with line_by_line:
        print(json.dumps(message), flush=True)


def tell(happened, name, **facts):
    write({'happened': happened, 'name': name, **facts})


class Clients:
    """What both kinds have in common."""

    def __init__(self, kind):
        self.kind = kind
        self.clients = {}

    def prepare(self, name, url, options):
        """A client with its listeners, and the arguments to connect it with."""
        parts = urlsplit(url)
        namespace = parts.path
        client = self.kind()
        self.clients[name] = client
        is_async = isinstance(client, socketio.AsyncClient)

        def on(event, handler):
            async def listen(*args):
                handler(*args)

            client.on(event, listen if is_async else handler, namespace=namespace)

        def connected():
            tell('connect', name, id=client.get_sid(namespace))
            tell('transport', name, transport=client.transport())

        def refused(error):
            known = error if isinstance(error, dict) else {'message': error}
            tell('connect_error', name, message=known.get('message'), data=known.get('data'))

        on('connect', connected)
        on('connect_error', refused)
        on('disconnect', lambda reason: tell('disconnect', name, reason=reason))
        on('*', lambda event, *args: tell('event', name, event=event, args=args))
        connect = {'namespaces': [namespace], 'auth': options.get('auth')}
        if 'transports' in options:
            connect['transports'] = options['transports']
        return client, f'{parts.scheme}://{parts.netloc}', connect

    def state(self, name):
        return {'connected': self.clients[name].connected}


class SyncClients(Clients):
    def __init__(self):
        super().__init__(socketio.Client)

    def connect(self, name, url, options, **_):
        client, url, arguments = self.prepare(name, url, options)
        try:
            client.connect(url, **arguments)
        except socketio.exceptions.ConnectionError as error:
            tell('failed', name, error=str(error))

    def close(self, name):
        self.clients.pop(name).disconnect()


class AsyncClients(Clients):
    def __init__(self):
        super().__init__(socketio.AsyncClient)

    async def connect(self, name, url, options, **_):
        client, url, arguments = self.prepare(name, url, options)
        try:
            await client.connect(url, **arguments)
        except socketio.exceptions.ConnectionError as error:
            tell('failed', name, error=str(error))

    async def close(self, name):
        await self.clients.pop(name).disconnect()


def questions():
    for line in sys.stdin:
        question = json.loads(line)
        yield question.pop('id'), question.pop('do'), question


def answer(number, value=None, error=None):
    write({'reply': number, 'value': value} if error is None else {'reply': number, 'error': error})


def serve():
    clients = SyncClients()
    for number, action, arguments in questions():
        try:
            answer(number, getattr(clients, action)(**arguments))
        except Exception as error:
            answer(number, error=repr(error))


async def serve_async():
    clients, loop, ended = AsyncClients(), asyncio.get_running_loop(), asyncio.Event()

    async def act(number, action, arguments):
        try:
            value = getattr(clients, action)(**arguments)
            answer(number, await value if asyncio.iscoroutine(value) else value)
        except Exception as error:
            answer(number, error=repr(error))

    def read():
        for question in questions():
            asyncio.run_coroutine_threadsafe(act(*question), loop)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


if __name__ == '__main__':
    write({'happened': 'ready'})
    if sys.argv[1:] == ['async']:
        asyncio.run(serve_async())
    else:
        serve()
    # No oracle outlives its test, even if its threads still run.
    sys.stdout.flush()
    os._exit(0)
