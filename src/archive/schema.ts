/**
 * The tables of the one SQLite database, in order of their versions (`PRAGMA user_version`).
 * A released entry is never changed: a new one is appended.
 *
 * Times are milliseconds since the epoch. UIDs are stored without padding.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('received', 'derived')),
    source_series INTEGER REFERENCES series(id),
    state TEXT NOT NULL DEFAULT 'receiving',
    reason TEXT NOT NULL DEFAULT '',
    rule TEXT,
    quiet_ms INTEGER,
    max_age_ms INTEGER,
    expected INTEGER,
    expected_by TEXT,
    opened_at INTEGER NOT NULL,
    last_received_at INTEGER NOT NULL,
    completed_at INTEGER,
    complete_reason TEXT,
    corrected_at INTEGER,
    delivered_at INTEGER,
    UNIQUE (study, series)
  ) STRICT;
  CREATE INDEX series_by_state ON series (origin, state, last_received_at);
  CREATE INDEX series_by_time ON series (origin, last_received_at);
  CREATE INDEX series_by_uid ON series (series);
  CREATE INDEX series_by_source ON series (source_series) WHERE source_series IS NOT NULL;

  CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series(id),
    sop TEXT NOT NULL,
    version INTEGER NOT NULL,
    current INTEGER NOT NULL,
    sop_class TEXT NOT NULL,
    transfer_syntax TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    path TEXT NOT NULL UNIQUE,
    data_set_offset INTEGER NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('received', 'derived')),
    derived_from INTEGER REFERENCES instances(id),
    source_protocol TEXT NOT NULL,
    source_peer TEXT NOT NULL,
    source_address TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'corrected', 'left-alone', 'failed', 'derived', 'superseded')),
    reason TEXT NOT NULL DEFAULT '',
    rule TEXT,
    model TEXT,
    destinations TEXT NOT NULL DEFAULT '[]',
    deliver TEXT NOT NULL DEFAULT 'series',
    priority INTEGER NOT NULL DEFAULT 0,
    quality TEXT,
    damage TEXT,
    UNIQUE (series_id, sop, version)
  ) STRICT;
  CREATE INDEX instances_by_state ON instances (series_id, origin, current, state);
  CREATE INDEX instances_by_sop ON instances (sop);
  CREATE INDEX instances_by_source ON instances (derived_from) WHERE derived_from IS NOT NULL;
  CREATE INDEX instances_damaged ON instances (id) WHERE damage IS NOT NULL;

  CREATE TABLE refusals (
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    sop TEXT NOT NULL,
    reason TEXT NOT NULL,
    source_peer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (study, series, sop)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE deliveries (
    instance_id INTEGER NOT NULL REFERENCES instances(id),
    destination TEXT NOT NULL,
    series_id INTEGER NOT NULL REFERENCES series(id),
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    enqueued INTEGER NOT NULL DEFAULT 0,
    warning INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    message TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (instance_id, destination)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX deliveries_by_state ON deliveries (series_id, state);
  CREATE INDEX deliveries_by_series ON deliveries (series_id, destination, state, enqueued);

  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    run_at INTEGER NOT NULL,
    lease_until INTEGER,
    token TEXT,
    again INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, key)
  ) STRICT;
  CREATE INDEX jobs_to_claim ON jobs (kind, state, priority DESC, id);

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    study TEXT NOT NULL DEFAULT '',
    series TEXT NOT NULL DEFAULT '',
    sop TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT ''
  ) STRICT;

  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  -- Storage commitment. As user: a pending delivery that was accepted waits, stored, for the peer's commitment.
  ALTER TABLE deliveries ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE deliveries ADD COLUMN commitment TEXT;
  ALTER TABLE deliveries ADD COLUMN commitment_due INTEGER;
  CREATE INDEX deliveries_by_commitment ON deliveries (commitment) WHERE commitment IS NOT NULL;

  -- As provider: what peers asked for and have not been told yet.
  CREATE TABLE commitment_requests (
    id INTEGER PRIMARY KEY,
    peer TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    instances TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    UNIQUE (peer, transaction_uid)
  ) STRICT;
  `,
  `
  -- What queries match and return, as JSON: keyword to values. NULL: stored before this table version, to be read.
  CREATE TABLE studies (
    id INTEGER PRIMARY KEY,
    study TEXT NOT NULL UNIQUE,
    patient_id TEXT NOT NULL,
    study_date TEXT NOT NULL,
    attributes TEXT NOT NULL
  ) STRICT;
  CREATE INDEX studies_by_patient ON studies (patient_id);
  CREATE INDEX studies_by_date ON studies (study_date);
  ALTER TABLE series ADD COLUMN attributes TEXT;
  ALTER TABLE instances ADD COLUMN attributes TEXT;
  CREATE INDEX instances_to_index ON instances (id) WHERE attributes IS NULL;
  `,
  `
  -- Series that were asked for from other archives, and what became of that. series '': all of the study.
  CREATE TABLE fetches (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'fetching', 'fetched', 'failed')),
    expected INTEGER,
    received INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '',
    requested_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (source, study, series)
  ) STRICT;
  CREATE INDEX fetches_by_time ON fetches (requested_at);
   `,
  `
  -- More is kept of each series, so everything is read once more; meanwhile queries look into the files.
  ALTER TABLE series ADD COLUMN requests TEXT;
  DELETE FROM studies;
  UPDATE series SET attributes = NULL;
  UPDATE instances SET attributes = NULL;
  `,
  `
  -- What retention removed: enough to know it again.
  CREATE TABLE removed (
    sop TEXT NOT NULL,
    series TEXT NOT NULL,
    study TEXT NOT NULL,
    origin TEXT NOT NULL,
    digest TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    PRIMARY KEY (sop, series, study, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX removed_by_series ON removed (series, origin);
  CREATE INDEX removed_by_time ON removed (removed_at);

  -- Files whose rows are gone and that have still to go themselves.
  CREATE TABLE removals (
    path TEXT PRIMARY KEY,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    sop TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- What people found who looked at original and corrected: all of it is kept, the last one counts.
  CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series(id) ON DELETE CASCADE,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'rejected')),
    comment TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX reviews_by_series ON reviews (series_id);

  -- hold: nothing is delivered before a person accepts. accepted_upto: derived instances up to this row were there to
  -- be looked at when the series was accepted.
  ALTER TABLE series ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE series ADD COLUMN verdict TEXT;
  ALTER TABLE series ADD COLUMN accepted_upto INTEGER NOT NULL DEFAULT 0;

  -- Of a derived instance, as JSON: remarks of the safeguards, and the figures of each frame where it has several.
  ALTER TABLE instances ADD COLUMN flags TEXT;
  ALTER TABLE instances ADD COLUMN frame_quality TEXT;

  -- Reader studies. Which side is the corrected one follows from the secret; it is told nobody who rates.
  CREATE TABLE reader_studies (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE reader_cases (
    reader_study TEXT NOT NULL REFERENCES reader_studies(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    PRIMARY KEY (reader_study, number)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE reader_ratings (
    reader_study TEXT NOT NULL REFERENCES reader_studies(id) ON DELETE CASCADE,
    reader TEXT NOT NULL,
    number INTEGER NOT NULL,
    preferred TEXT NOT NULL CHECK (preferred IN ('original', 'corrected', 'equal')),
    corrected_side TEXT NOT NULL CHECK (corrected_side IN ('left', 'right')),
    scores TEXT NOT NULL,
    comment TEXT NOT NULL,
    seconds REAL NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (reader_study, reader, number)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Reviews name their series by its UIDs, and outlive it.
  CREATE TABLE reviews_of_series (
    id INTEGER PRIMARY KEY,
    study TEXT NOT NULL,
    series TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'rejected')),
    comment TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    at INTEGER NOT NULL
  ) STRICT;
  INSERT INTO reviews_of_series SELECT r.id, s.study, s.series, r.verdict, r.comment, r.reviewer, r.at
    FROM reviews r JOIN series s ON s.id = r.series_id;
  DROP TABLE reviews;
  ALTER TABLE reviews_of_series RENAME TO reviews;
  CREATE INDEX reviews_by_series ON reviews (series, study);

  -- As JSON, by name of the rule: the safeguards that were in force when the series' first instance came under it.
  ALTER TABLE series ADD COLUMN safeguards TEXT;
  `,
];
