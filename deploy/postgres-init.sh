#!/bin/sh
# Run once by the PostgreSQL image, as its superuser, when the data folder is empty: the two logins and the database.
# The tables, and the roles for working and reading, are made by `tollbook db upgrade`.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
    --set=owner_password="$POSTGRES_OWNER_PASSWORD" --set=worker_password="$POSTGRES_WORKER_PASSWORD" <<'SQL'
CREATE ROLE tollbook LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE tollbook_app LOGIN PASSWORD :'worker_password';
CREATE DATABASE tollbook OWNER tollbook;
\connect tollbook
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
SQL
