#!/bin/sh
# A dump of the books into BACKUPS_DIR, whole or not at all; the oldest ones go, so that BACKUPS_KEPT stay.
set -eu
umask 077
folder="${BACKUPS_DIR:-/var/lib/postgresql}"
name="$folder/tollbook-$(date -u +%Y%m%dT%H%M%SZ).dump"
trap 'rm -f "$name.part"' EXIT
pg_dump --format=custom --file="$name.part"
pg_restore --list "$name.part" >/dev/null
mv "$name.part" "$name"
echo "written: $name ($(wc -c <"$name") bytes)"
ls -1 "$folder"/tollbook-*.dump | sort -r | tail -n "+$((${BACKUPS_KEPT:-14} + 1))" | while read -r old; do
    rm -f "$old"
    echo "removed: $old"
done
