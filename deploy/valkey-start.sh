#!/bin/sh
# Starts the broker with its users: written anew at each start, out of deploy/users.acl and the passwords in the environment, of which
# only hashes are kept.
set -eu
umask 077
users="${USERS_ACL:-/tmp/users.acl}"
for name in VALKEY_PASSWORD VALKEY_WORKER_PASSWORD VALKEY_PRODUCER_PASSWORD; do
    eval "test -n \"\${$name:-}\"" || { echo "$name: set it in .env" >&2 && exit 78; }
done
hashed() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }
{
    echo "user default on #$(hashed "$VALKEY_PASSWORD") ~* &* +@all"
    sed -e "s/ on WORKER / on #$(hashed "$VALKEY_WORKER_PASSWORD") /" -e "s/ on PRODUCER / on #$(hashed "$VALKEY_PRODUCER_PASSWORD") /" "$(dirname "$0")/users.acl"
} >"$users"
exec "$@" --aclfile "$users"
