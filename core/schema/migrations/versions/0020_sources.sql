-- What holds for these books as a whole, in one row.
CREATE TABLE books (
    one boolean DEFAULT true NOT NULL,
    cloud_event_key text DEFAULT 'id' NOT NULL,
    CONSTRAINT pk_books PRIMARY KEY (one),
    CONSTRAINT ck_books_one CHECK (one),
    CONSTRAINT ck_books_cloud_event_key_known CHECK (cloud_event_key IN ('id', 'source_and_id'))
);

INSERT INTO books DEFAULT VALUES;

GRANT SELECT ON books TO tollbook_worker, tollbook_reader;

-- Who sent a CloudEvent: absent for every other event.
ALTER TABLE transactions ADD COLUMN source text;
