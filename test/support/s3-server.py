"""OpenStack Swift with its S3 API, all four servers in this process: `s3-server.py FOLDER PORT`.

Swift's S3 API refuses conditional writes, though Swift itself has them. In buckets whose names begin with `lenient-` they
go through: Swift looks whether an object is there before it takes its bytes, so that of several at once all may succeed.
The bytes of one are held back until Swift has looked for another, too, so that two do. In buckets whose names begin with
`strict-` one comes after the other, as with servers that keep to the condition.

Swift comes with the Debian package python3-swift. Its servers usually run as services of their own, with rings that an
operator builds and memcached beside them; here the rings name one device in FOLDER, and what memcached holds is in memory.
"""

import os
import sys
import time

import eventlet
import eventlet.event
from eventlet import wsgi

eventlet.monkey_patch()

from swift.common import utils

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
os.makedirs(os.path.join(FOLDER, "disks", "one"), exist_ok=True)


def write(name, text):
    path = os.path.join(FOLDER, name)
    with open(path, "w") as file:
        file.write(text)
    return path


# Read when further modules of Swift are loaded, which therefore come after it.
utils.SWIFT_CONF_FILE = write(
    "swift.conf",
    """
[swift-hash]
swift_hash_path_suffix = warren
[storage-policy:0]
name = default
default = yes
""",
)
utils.HASH_PATH_SUFFIX = b"warren"

from swift.common.middleware.s3api import s3request
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

STORAGE = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
disable_fallocate = true
log_level = ERROR
conn_timeout = 60
node_timeout = 120
container_update_timeout = 120
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#{kind}
"""

PROXY = """
[DEFAULT]
swift_dir = {folder}
log_level = ERROR
[pipeline:main]
pipeline = catch_errors listing_formats s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# On a busy machine a slow answer is no reason to give up the only device.
conn_timeout = 60
node_timeout = 120
recoverable_node_timeout = 120
client_timeout = 300
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
"""


class Cache:
    """What Swift asks of memcached."""

    def __init__(self):
        self.entries = {}

    def get(self, key, *_args, **_options):
        value, until = self.entries.get(key, (None, 0))
        return value if until == 0 or until > time.time() else None

    def set(self, key, value, time=0, **_options):
        self.entries[key] = (value, now() + time if time else 0)

    def delete(self, key, *_args, **_options):
        self.entries.pop(key, None)

    def incr(self, key, delta=1, time=0, **_options):
        value = int(self.get(key) or 0) + delta
        self.set(key, value, time=time)
        return value

    def get_multi(self, keys, *_args, **_options):
        return [self.get(key) for key in keys]

    def set_multi(self, values, *_args, time=0, **_options):
        for key, value in values.items():
            self.set(key, value, time=time)


def now():
    return time.time()


class Silence:
    def write(self, *_args):
        pass


def serve(socket, app):
    wsgi.server(socket, app, Silence(), log_output=False, max_size=1024)


for kind in ("account", "container", "object"):
    socket = eventlet.listen(("127.0.0.1", 0))
    port = socket.getsockname()[1]
    builder = RingBuilder(1, 1, 1)
    builder.add_dev(
        {
            "id": 0,
            "region": 1,
            "zone": 1,
            "weight": 1.0,
            "device": "one",
            "ip": "127.0.0.1",
            "port": port,
            "replication_ip": "127.0.0.1",
            "replication_port": port,
        }
    )
    builder.rebalance()
    builder.get_ring().save(os.path.join(FOLDER, kind + ".ring.gz"))
    configuration = write(kind + ".conf", STORAGE.format(folder=FOLDER, kind=kind))
    eventlet.spawn(serve, socket, loadapp(configuration))

proxy = loadapp(write("proxy.conf", PROXY.format(folder=FOLDER)))
cache = Cache()


validate_headers = s3request.S3Request._validate_headers


def validate_without_condition(request):
    condition = None
    if request.environ["PATH_INFO"].startswith(("/lenient-", "/strict-")):
        condition = request.environ.pop("HTTP_IF_NONE_MATCH", None)
    try:
        validate_headers(request)
    finally:
        if condition is not None:
            request.environ["HTTP_IF_NONE_MATCH"] = condition


s3request.S3Request._validate_headers = validate_without_condition

in_turn = eventlet.semaphore.Semaphore()

RIVAL_WITHIN_SECONDS = 5
without_rival = []


class HeldBody:
    """The bytes of a request, which Swift reads once it has looked whether the object is there."""

    def __init__(self, body):
        self.body = body
        self.is_held = True

    def __getattr__(self, name):
        return getattr(self.body, name)

    def read(self, *arguments):
        if self.is_held:
            self.is_held = False
            wait_for_rival()
        return self.body.read(*arguments)


def wait_for_rival():
    if without_rival:
        without_rival.pop().send()
        return
    rival = eventlet.event.Event()
    without_rival.append(rival)
    with eventlet.Timeout(RIVAL_WITHIN_SECONDS, False):
        rival.wait()
    if rival in without_rival:
        without_rival.remove(rival)


def with_cache(environment, start_response):
    environment["swift.cache"] = cache
    if "HTTP_IF_NONE_MATCH" in environment and environment["PATH_INFO"].startswith("/strict-"):
        with in_turn:
            return list(proxy(environment, start_response))
    if "HTTP_IF_NONE_MATCH" in environment and environment["PATH_INFO"].startswith("/lenient-"):
        environment["wsgi.input"] = HeldBody(environment["wsgi.input"])
    return proxy(environment, start_response)


serve(eventlet.listen(("127.0.0.1", PORT)), with_cache)
