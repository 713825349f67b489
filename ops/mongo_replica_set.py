"""Wait until the mongod on a loopback port answers, make it a replica set of one, and wait until it is the primary.

    python ops/mongo_replica_set.py PORT
"""

import sys

import pymongo
import pymongo.errors

TIMEOUT_MS = 30_000


def main(port):
    direct = pymongo.MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=TIMEOUT_MS)
    try:
        direct.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
    except pymongo.errors.OperationFailure as error:
        if error.codeName != "AlreadyInitialized":
            raise
    # Server selection waits for the primary.
    pymongo.MongoClient("127.0.0.1", port, replicaSet="rs0", serverSelectionTimeoutMS=TIMEOUT_MS).admin.command("ping")


if __name__ == "__main__":
    main(int(sys.argv[1]))
