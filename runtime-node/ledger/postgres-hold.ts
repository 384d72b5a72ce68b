/**
 * The statement of a hold and what it rests on. A call of a function is one statement and so one transaction, whole or
 * not at all. A name carries the version of its promise: hosts of two releases serve side by side while a deployment
 * rolls, so a changed function gets a new name in a new migration.
 *
 * Whoever changes money locks the account's row first, and only then looks, and asks what time it is: the database's own
 * clock, unless a test gives the time (`p_now`, Unix ms).
 */
export const HOLD_FUNCTIONS = `
CREATE FUNCTION clock_1(p_now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(p_now, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;

CREATE FUNCTION month_1(p_now bigint) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT to_char(to_timestamp(p_now / 1000.0) AT TIME ZONE 'UTC', 'YYYYMM')::integer
$$;

CREATE FUNCTION lock_1(p_account text) RETURNS balances LANGUAGE plpgsql AS $$
DECLARE v_balance balances;
BEGIN
  SELECT * INTO v_balance FROM balances WHERE account = p_account FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO balances (account) VALUES (p_account) ON CONFLICT DO NOTHING;
    SELECT * INTO v_balance FROM balances WHERE account = p_account FOR UPDATE;
  END IF;
  RETURN v_balance;
END
$$;

-- What is left of a rate's debt. A clock that was set back gives nothing back; a limit that was lowered is at most used up.
CREATE FUNCTION debt_1(p_debt bigint, p_rated_at bigint, p_limit bigint, p_now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_limit IS NULL OR p_debt IS NULL THEN 0 ELSE
    greatest(0, least(p_debt, p_limit * 60000) - least(greatest(p_now - p_rated_at, 0), 60000) * p_limit)
  END
$$;

-- The scopes of a hold in its order, with what each has used as of now.
CREATE FUNCTION scopes_1(p_account text, p_scopes jsonb, p_now bigint)
RETURNS TABLE (
  place bigint, name text,
  requests_limit bigint, tokens_limit bigint, holds_limit bigint, month_limit bigint, total_limit bigint,
  held bigint, holds integer, spent bigint, spent_in_month bigint, requests_debt bigint, tokens_debt bigint
) LANGUAGE sql STABLE AS $$
  SELECT
    asked.place, asked.name,
    asked.requests_limit, asked.tokens_limit, asked.holds_limit, asked.month_limit, asked.total_limit,
    coalesce(s.held, 0), coalesce(s.holds, 0), coalesce(s.spent, 0),
    CASE WHEN s.month = month_1(p_now) THEN s.spent_in_month ELSE 0 END,
    debt_1(s.requests_debt, s.rated_at, asked.requests_limit, p_now),
    debt_1(s.tokens_debt, s.rated_at, asked.tokens_limit, p_now)
  FROM (
    SELECT
      place, scope->>'name' AS name,
      (scope->'limits'->>'requestsPerMinute')::bigint AS requests_limit,
      (scope->'limits'->>'tokensPerMinute')::bigint AS tokens_limit,
      (scope->'limits'->>'concurrentRequests')::bigint AS holds_limit,
      (scope->'limits'->>'monthlyNanoUsd')::bigint AS month_limit,
      (scope->'limits'->>'totalNanoUsd')::bigint AS total_limit
    FROM jsonb_array_elements(p_scopes) WITH ORDINALITY AS listed (scope, place)
  ) AS asked
  LEFT JOIN scopes s ON s.account = p_account AND s.name = asked.name
$$;

-- LimitState of each rate of a hold's scopes, as of now.
CREATE FUNCTION rates_1(p_account text, p_scopes jsonb, p_now bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
      'scope', s.name, 'resource', rate.resource, 'limit', rate.lim,
      'remaining', (rate.lim * 60000 - rate.debt) / 60000,
      'resetMs', (rate.debt + rate.lim - 1) / rate.lim
    ) ORDER BY s.place, rate.place), '[]')
    FROM scopes_1(p_account, p_scopes, p_now) s
    CROSS JOIN LATERAL (VALUES
      (1, 'requests', s.requests_limit, s.requests_debt),
      (2, 'tokens', s.tokens_limit, s.tokens_debt)
    ) AS rate (place, resource, lim, debt)
    WHERE rate.lim IS NOT NULL
  );
END
$$;

-- p_hold: a Hold. p_verdict: null, or what another limiter says of the rates: {"limits": [...], "refusal": {...}|null}.
CREATE FUNCTION hold_1(p_hold text, p_verdict text, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  c_hold constant jsonb := p_hold;
  c_verdict constant jsonb := p_verdict;
  c_account constant text := c_hold->>'account';
  c_request_id constant text := c_hold->>'requestId';
  c_amount constant bigint := c_hold->>'amount';
  c_tokens constant bigint := c_hold->>'tokens';
  c_scopes constant jsonb := c_hold->'scopes';
  c_has_own_rates constant boolean := c_verdict IS NULL;
  v_balance balances := lock_1(c_account);
  v_now bigint := clock_1(p_now);
  v_available bigint := v_balance.credited - v_balance.held - v_balance.spent;
  v_amount bigint;
  v_refusal jsonb;
BEGIN
  IF EXISTS (SELECT FROM receipts WHERE account = c_account AND request_id = c_request_id) THEN
    RETURN jsonb_build_object('ok', false, 'reason', 'duplicate', 'receipt', receipt_1(c_account, c_request_id));
  END IF;
  SELECT amount INTO v_amount FROM holds WHERE account = c_account AND request_id = c_request_id;
  IF FOUND THEN
    RETURN jsonb_build_object('ok', true, 'heldNanoUsd', v_amount, 'isRepeat', true, 'limits', '[]'::jsonb);
  END IF;

  IF (c_hold->>'isPrepaid')::boolean AND c_amount > v_available THEN
    RETURN jsonb_build_object('ok', false, 'reason', 'insufficient_quota', 'scope', null,
      'availableNanoUsd', v_available);
  END IF;
  SELECT jsonb_build_object('ok', false, 'scope', s.name) || reason.refusal INTO v_refusal
  FROM scopes_1(c_account, c_scopes, v_now) s
  CROSS JOIN LATERAL (
    SELECT least(s.month_limit - s.held - s.spent_in_month, s.total_limit - s.held - s.spent) AS amount
  ) AS budget
  CROSS JOIN LATERAL (VALUES
    (1, c_amount > budget.amount, jsonb_build_object(
      'reason', 'insufficient_quota', 'availableNanoUsd', greatest(0, budget.amount))),
    (2, s.holds >= s.holds_limit, jsonb_build_object(
      -- Nobody knows when a request ends.
      'reason', 'rate_limited', 'resource', 'concurrent', 'limit', s.holds_limit, 'retryAfterMs', 1000)),
    (3, c_has_own_rates AND s.requests_debt + 60000 > s.requests_limit * 60000, jsonb_build_object(
      'reason', 'rate_limited', 'resource', 'requests', 'limit', s.requests_limit,
      'retryAfterMs', wait_1(s.requests_debt, 1, s.requests_limit))),
    (4, c_has_own_rates AND s.tokens_debt + c_tokens * 60000 > s.tokens_limit * 60000, jsonb_build_object(
      'reason', 'rate_limited', 'resource', 'tokens', 'limit', s.tokens_limit,
      'retryAfterMs', wait_1(s.tokens_debt, c_tokens, s.tokens_limit))),
    (5, c_verdict->'refusal'->>'scope' = s.name,
      jsonb_build_object('reason', 'rate_limited') || (c_verdict->'refusal'))
  ) AS reason (step, is_short, refusal)
  WHERE reason.is_short
  -- Budgets of all scopes first.
  ORDER BY reason.step > 1, s.place, reason.step
  LIMIT 1;
  IF v_refusal->>'reason' = 'rate_limited' THEN
    RETURN v_refusal || jsonb_build_object('limits', coalesce(c_verdict->'limits', rates_1(c_account, c_scopes, v_now)));
  ELSIF v_refusal IS NOT NULL THEN
    RETURN v_refusal;
  END IF;

  UPDATE balances SET held = held + c_amount WHERE account = c_account;
  INSERT INTO scopes AS kept (
    account, name, held, holds, spent, month, spent_in_month, rated_at, requests_debt, tokens_debt
  )
  SELECT
    c_account, s.name, s.held + c_amount, s.holds + 1, s.spent, month_1(v_now), s.spent_in_month, v_now,
    s.requests_debt + CASE WHEN c_has_own_rates AND s.requests_limit IS NOT NULL THEN 60000 ELSE 0 END,
    s.tokens_debt + CASE WHEN c_has_own_rates AND s.tokens_limit IS NOT NULL THEN c_tokens * 60000 ELSE 0 END
  FROM scopes_1(c_account, c_scopes, v_now) s
  ON CONFLICT (account, name) DO UPDATE SET
    held = excluded.held, holds = excluded.holds, month = excluded.month, spent_in_month = excluded.spent_in_month,
    rated_at = excluded.rated_at, requests_debt = excluded.requests_debt, tokens_debt = excluded.tokens_debt;
  INSERT INTO holds VALUES (
    c_account, c_request_id, c_hold->>'keyId', c_hold->>'route', c_hold->>'model', c_hold->'price', c_amount, c_tokens,
    c_scopes, c_has_own_rates, (c_hold->>'leaseMs')::bigint, v_now, v_now + (c_hold->>'leaseMs')::bigint, NULL
  );
  RETURN jsonb_build_object('ok', true, 'heldNanoUsd', c_amount, 'isRepeat', false,
    'limits', coalesce(c_verdict->'limits', rates_1(c_account, c_scopes, v_now)));
END
$$;

-- How long until a rate has room; null where it never has.
CREATE FUNCTION wait_1(p_debt bigint, p_count bigint, p_limit bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_count <= p_limit THEN (p_debt + (p_count - p_limit) * 60000 + p_limit - 1) / p_limit END
$$;
`;
