"""A front of a node: whoever asks it gets the node's answers, but for what a test wants otherwise. Its URL is the node's in the map."""

import http.server
import threading

import requests


class Front:
    """answers: path -> (status, body bytes) in place of the node's; silent: no connection is answered; rewrite: (path, body) -> body."""

    def __init__(self):
        front = self
        self.node_url = None
        self.reset()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                front.pass_on(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a peer that left
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def reset(self):
        """The node's own answers."""
        self.answers = {}
        self.silent = threading.Event()
        self.rewrite = None
        self.held = None  # a path; an event that its requests wait for; one that is set when the first has come
        self.deaf = ()  # whom it does not answer, by User-Agent
        self.headers = {}  # in every answer in place of the node's

    def pass_on(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        path = handler.path.split("?")[0]
        held = self.held
        if held is not None and path.startswith(held[0]):
            held[2].set()
            held[1].wait(60)
        if self.silent.is_set() or handler.headers.get("User-Agent", "") in self.deaf:
            handler.close_connection = True
            return
        for front, (status, text) in self.answers.items():
            if path.startswith(front):
                self.reply(handler, status, {"Content-Type": "application/json"}, text)
                return
        headers = {name: value for name, value in handler.headers.items() if name not in ("Host", "Content-Length", "Connection", "Expect")}
        try:
            answer = requests.request(handler.command, self.node_url + handler.path, data=body or None, headers=headers, timeout=60)
        except requests.RequestException:
            handler.close_connection = True
            return
        content = self.rewrite(path, answer.content) if self.rewrite else answer.content
        self.reply(handler, answer.status_code,
                   {name: value for name, value in answer.headers.items() if name not in ("Content-Length", "Connection", "Transfer-Encoding")}, content)

    def reply(self, handler, status, headers, content):
        handler.send_response_only(status)
        for name, value in {**headers, **self.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
