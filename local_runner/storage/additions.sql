-- Tables that homes made by earlier versions get with their first write. Only checks go by them: such a home is whole without.

-- Of large contents: CRC-32 of each MiB.
CREATE TABLE IF NOT EXISTS block_sums (name BLOB PRIMARY KEY, sums BLOB NOT NULL);

-- Of each row of the records: CRC-32 of its values. `row` is its primary key.
CREATE TABLE IF NOT EXISTS row_sum ("table" TEXT NOT NULL, "row" TEXT NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY ("table", "row")) WITHOUT ROWID;

-- How many transactions were committed, which the file `committed` says too.
CREATE TABLE IF NOT EXISTS written (one INTEGER PRIMARY KEY CHECK (one = 1), transactions INTEGER NOT NULL);
