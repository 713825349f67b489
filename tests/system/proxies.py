"""Real proxies in front of a node, unmodified, as Debian packs them: nginx, Varnish, HAProxy.

Each is started by itself in the foreground, on a free port of loopback, with its pid file, logs, caches and sockets in the
test's folder: what the packages run as services, if anything, is not touched.
"""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess

from mongod import die_with_parent, free_port
from processes import await_condition

STOP_TIMEOUT_S = 60
SBIN = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

# /sha256/ is immutable and cached; data files grow and are passed on, so that ranges reach the node. Several ranges go past the
# cache, too: nginx 1.22 answers them with the whole while it fetches what it is to keep.
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=messages:1m max_size=256m inactive=1h;
    upstream node {{ server {node}; keepalive 16; }}
    server {{
        listen {listen};
        client_max_body_size 0;
        large_client_header_buffers 4 32k;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_request_buffering off;
        location / {{ proxy_pass http://node; }}
        location /sha256/ {{
            proxy_pass http://node;
            proxy_cache messages;
            add_header X-Cache $upstream_cache_status always;
            error_page 418 = @ranges;
            if ($http_range ~ ",") {{ return 418; }}
        }}
        location @ranges {{ proxy_pass http://node; }}
    }}
}}
"""

# Varnish 7.1 looks at Range itself, and knows single ones only: it answers 503 to others that it passes on, and 416 to a HEAD. So
# several go through a pipe, what is no range is taken away, as is any range of a HEAD.
VARNISH = """
vcl 4.1;
backend node {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{
    if (req.http.Range ~ "," && req.method == "GET") {{ return (pipe); }}
    if (req.method != "GET" || req.http.Range !~ "^bytes=([0-9]+-[0-9]*|-[0-9]+)$") {{ unset req.http.Range; }}
    if (req.method == "PUT" || req.url !~ "^/sha256/") {{ return (pass); }}
}}
sub vcl_pipe {{ set bereq.http.Connection = "close"; }}
sub vcl_deliver {{
    if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }}
}}
"""

# A line of 1,000 ranges has 22,012 bytes; by default Varnish takes 8 KiB. (The others: large_client_header_buffers, tune.bufsize.)
VARNISH_LINES = ["-p", "http_req_hdr_len=32k", "-p", "http_req_size=64k", "-p", "workspace_client=256k", "-p", "workspace_backend=256k"]

HAPROXY = """
global
    pidfile {folder}/haproxy.pid
    maxconn 256
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-keep-alive 30s
frontend front
    bind {listen}
    default_backend node
backend node
    http-reuse safe
    server node {node}
"""


def find(program):
    return shutil.which(program, path=SBIN)


class Proxy:
    """One of them, in front of a node. Used as a daemon is: listen, url."""

    program = None
    caches = False
    plain_chunks = False
    strict = False  # Varnish's own 400 has neither a length nor "close"

    def __init__(self, folder, node):
        self.folder = pathlib.Path(folder) / type(self).__name__.lower()
        self.folder.mkdir()
        self.node = node
        self.listen = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.listen}"
        self.process = None

    def write(self, name, template):
        host, port = self.node.listen.split(":")
        path = self.folder / name
        path.write_text(template.format(folder=self.folder, listen=self.listen, node=self.node.listen, host=host, port=port))
        return path

    def start(self):
        with open(self.folder / "output.log", "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, preexec_fn=die_with_parent)
        await_condition(self.listens, f"{self.program} listens")
        return self

    def output(self):
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))

    def listens(self):
        assert self.process.poll() is None, self.output()
        host, port = self.listen.split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
            return True
        return False

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nginx(Proxy):
    program = "nginx"
    caches = True

    def command(self):
        return [find("nginx"), "-p", str(self.folder), "-e", str(self.folder / "nginx.log"), "-c", str(self.write("nginx.conf", NGINX))]


class Varnish(Proxy):
    program = "varnishd"
    caches = True
    plain_chunks = True  # 7.1 reads neither extensions nor trailers

    def command(self):
        return [find("varnishd"), "-F", "-j", "none", "-n", str(self.folder / "work"), "-a", self.listen, "-s", "malloc,128m",
                *VARNISH_LINES, "-P", str(self.folder / "varnish.pid"), "-f", str(self.write("varnish.vcl", VARNISH))]


class Haproxy(Proxy):
    program = "haproxy"

    def command(self):
        return [find("haproxy"), "-db", "-f", str(self.write("haproxy.cfg", HAPROXY))]


ALL = [Nginx, Varnish, Haproxy]
