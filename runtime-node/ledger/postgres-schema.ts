/**
 * The tables. All names are looked up in the connection's one schema. `account` comes first in every key: whoever writes
 * holds the lock of that account's row in `balances`, and no statement locks a second account, so none can deadlock.
 */
export const TABLES = `
CREATE TABLE accounts (
  id text COLLATE "C" PRIMARY KEY,
  is_prepaid boolean NOT NULL,
  grants jsonb NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE keys (
  id text COLLATE "C" PRIMARY KEY,
  sha256 text NOT NULL UNIQUE,
  hint text NOT NULL,
  account text COLLATE "C" NOT NULL REFERENCES accounts,
  grants jsonb NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint,
  revoked_at bigint
);

-- Written on every request: room on each page keeps its updates off the indexes.
CREATE TABLE balances (
  account text COLLATE "C" PRIMARY KEY,
  credited bigint NOT NULL DEFAULT 0 CHECK (abs(credited) <= 9007199254740991),
  held bigint NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND 9007199254740991),
  spent bigint NOT NULL DEFAULT 0 CHECK (spent BETWEEN 0 AND 9007199254740991)
) WITH (fillfactor = 50);

CREATE TABLE credits (
  account text COLLATE "C" NOT NULL REFERENCES balances,
  id text COLLATE "C" NOT NULL,
  amount bigint NOT NULL,
  credited_at bigint NOT NULL,
  PRIMARY KEY (account, id)
);

-- What a part of an account has used of its limits. A debt is what a rate has taken and time not yet given back,
-- in 1/60000 of a request or token: a minute's worth is 60000 times the limit, and a millisecond gives back the limit.
CREATE TABLE scopes (
  account text COLLATE "C" NOT NULL REFERENCES balances,
  name text COLLATE "C" NOT NULL,
  held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
  holds integer NOT NULL DEFAULT 0 CHECK (holds >= 0),
  spent bigint NOT NULL DEFAULT 0,
  month integer NOT NULL DEFAULT 0,
  spent_in_month bigint NOT NULL DEFAULT 0,
  rated_at bigint NOT NULL DEFAULT 0,
  requests_debt bigint NOT NULL DEFAULT 0,
  tokens_debt bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (account, name)
) WITH (fillfactor = 50);

CREATE TABLE holds (
  account text COLLATE "C" NOT NULL REFERENCES balances,
  request_id text COLLATE "C" NOT NULL,
  key_id text,
  route text NOT NULL,
  model text NOT NULL,
  price jsonb NOT NULL,
  amount bigint NOT NULL CHECK (amount >= 0),
  tokens bigint NOT NULL,
  scopes jsonb NOT NULL,
  has_own_rates boolean NOT NULL,
  lease_ms bigint NOT NULL,
  held_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  usage jsonb,
  PRIMARY KEY (account, request_id)
);
CREATE INDEX holds_expires_at ON holds (expires_at);

CREATE TABLE receipts (
  account text COLLATE "C" NOT NULL REFERENCES balances,
  request_id text COLLATE "C" NOT NULL,
  key_id text COLLATE "C",
  route text NOT NULL,
  model text COLLATE "C" NOT NULL,
  price jsonb NOT NULL,
  prompt_tokens bigint NOT NULL,
  cached_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  reasoning_tokens bigint NOT NULL,
  source text NOT NULL,
  outcome text NOT NULL,
  backend text,
  engine text NOT NULL,
  ttft_ms double precision,
  duration_ms double precision NOT NULL,
  is_free boolean NOT NULL,
  scopes jsonb NOT NULL,
  held bigint NOT NULL,
  cost bigint NOT NULL CHECK (cost BETWEEN 0 AND held),
  held_at bigint NOT NULL,
  settled_at bigint NOT NULL,
  PRIMARY KEY (account, request_id)
);
CREATE INDEX receipts_settled_at ON receipts (settled_at, request_id);
CREATE INDEX receipts_of_account ON receipts (account, settled_at, request_id);
CREATE INDEX receipts_of_key ON receipts (key_id, settled_at, request_id);

CREATE TABLE deliveries (
  webhook text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  request_id text COLLATE "C" NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  due_at bigint NOT NULL,
  -- The host that is at it, and until when the others leave it alone.
  taken_by text,
  taken_until bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (webhook, account, request_id),
  FOREIGN KEY (account, request_id) REFERENCES receipts
);
CREATE INDEX deliveries_due_at ON deliveries (due_at);
`;
