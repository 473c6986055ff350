-- What these books are called by others. The roles' names are those under which the revisions before were run.
CREATE TABLE installation (
    one boolean DEFAULT true NOT NULL,
    worker_role text NOT NULL,
    reader_role text NOT NULL,
    CONSTRAINT pk_installation PRIMARY KEY (one),
    CONSTRAINT ck_installation_one CHECK (one)
);

INSERT INTO installation (worker_role, reader_role) VALUES ('tollbook_worker', 'tollbook_reader');

GRANT SELECT ON installation TO tollbook_worker, tollbook_reader;
