"""What a usage event is: contract, reading, parsing, hash, envelope. Pure: nothing here asks a database or a broker."""
