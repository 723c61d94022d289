-- The records of a home. FORMAT.md says what must hold between them.

CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE project (name TEXT PRIMARY KEY, description TEXT NOT NULL, created REAL NOT NULL, defaults TEXT) WITHOUT ROWID;

CREATE TABLE repo (
  key INTEGER PRIMARY KEY, project TEXT NOT NULL REFERENCES project(name) ON DELETE CASCADE,
  name TEXT NOT NULL, type TEXT NOT NULL, description TEXT NOT NULL, created REAL NOT NULL,
  UNIQUE (project, name, type)
);

CREATE TABLE branch (
  key INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repo(key) ON DELETE CASCADE,
  name TEXT NOT NULL, head INTEGER REFERENCES commits(key) ON DELETE SET NULL, "trigger" TEXT, created REAL NOT NULL,
  UNIQUE (repo, name)
);
CREATE INDEX branch_by_head ON branch(head);

-- Direct provenance: `branch` stands on `source`. never: changes of the source make no commit here.
CREATE TABLE branch_source (
  branch INTEGER NOT NULL REFERENCES branch(key) ON DELETE CASCADE,
  source INTEGER NOT NULL REFERENCES branch(key) ON DELETE CASCADE,
  never INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (branch, source)
) WITHOUT ROWID;
CREATE INDEX branch_source_back ON branch_source(source);

CREATE TABLE commits (
  key INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repo(key) ON DELETE CASCADE,
  id TEXT NOT NULL, branch TEXT NOT NULL, origin TEXT NOT NULL, parent INTEGER REFERENCES commits(key) ON DELETE SET NULL,
  description TEXT NOT NULL, started REAL NOT NULL, finishing REAL, finished REAL,
  error TEXT NOT NULL DEFAULT '',  -- why it counts for nothing downstream
  unreadable TEXT NOT NULL DEFAULT '',  -- why its content is no folder tree; then reading it fails with this
  tree BLOB, marks BLOB, size INTEGER NOT NULL DEFAULT 0,
  begun INTEGER NOT NULL DEFAULT 0,  -- whether `tree` of an open commit is set; else its content is that of its base
  UNIQUE (repo, id)
);
CREATE INDEX commits_by_id ON commits(id);
CREATE INDEX commits_by_parent ON commits(parent);

CREATE TABLE commit_source (
  "commit" INTEGER NOT NULL REFERENCES commits(key) ON DELETE CASCADE,
  source INTEGER NOT NULL REFERENCES commits(key) ON DELETE CASCADE, PRIMARY KEY ("commit", source)
) WITHOUT ROWID;
CREATE INDEX commit_source_back ON commit_source(source);

-- One row a version; the newest is the pipeline.
CREATE TABLE pipeline (
  project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, spec_commit TEXT NOT NULL,
  user_spec TEXT NOT NULL, effective_spec TEXT NOT NULL, salt TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  stopped INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, code TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (project, name, version)
) WITHOUT ROWID;

CREATE TABLE job (
  key INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, pipeline TEXT NOT NULL, id TEXT NOT NULL,
  version INTEGER NOT NULL, output_branch TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  created REAL NOT NULL, started REAL, finished REAL, counters TEXT NOT NULL DEFAULT '', restart INTEGER NOT NULL DEFAULT 0,
  running TEXT NOT NULL DEFAULT '',  -- what its workers are doing right now
  request TEXT NOT NULL DEFAULT '',  -- what the engine is asked to do with it: datums to restart
  UNIQUE (project, pipeline, id)
);
CREATE INDEX job_by_state ON job(state);
CREATE INDEX job_by_id ON job(id);

CREATE TABLE pending (id TEXT PRIMARY KEY, started REAL NOT NULL, requests TEXT NOT NULL) WITHOUT ROWID;  -- open transactions

CREATE TABLE secret (name TEXT PRIMARY KEY, created REAL NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE node (name BLOB PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE object (name BLOB PRIMARY KEY, content BLOB NOT NULL);
