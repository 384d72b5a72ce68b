/** The statements that end a hold or change a balance; read `postgres-hold.ts` first. */
export const CLOSE_FUNCTIONS = `
-- A Receipt.
CREATE FUNCTION receipt_1(p_account text, p_request_id text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object(
      'account', account, 'requestId', request_id, 'keyId', key_id, 'route', route, 'model', model, 'price', price,
      'usage', jsonb_build_object('promptTokens', prompt_tokens, 'cachedTokens', cached_tokens,
        'completionTokens', completion_tokens, 'reasoningTokens', reasoning_tokens),
      'source', source, 'outcome', outcome, 'backend', backend, 'engine', engine, 'ttftMs', ttft_ms,
      'durationMs', duration_ms, 'isFree', is_free, 'costNanoUsd', cost, 'heldAt', held_at, 'settledAt', settled_at
    )
    FROM receipts WHERE account = p_account AND request_id = p_request_id
  );
END
$$;

-- costNanoUsd of shared/pricing.ts: summed in pico-dollars, rounded up once.
CREATE FUNCTION cost_1(p_price jsonb, p_prompt numeric, p_cached numeric, p_completion numeric, p_reasoning numeric)
RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT div(
    (p_prompt - least(p_cached, p_prompt)) * (p_price->>'promptPicoUsd')::numeric
    + least(p_cached, p_prompt) * (p_price->>'cachedPromptPicoUsd')::numeric
    + (p_completion - least(p_reasoning, p_completion)) * (p_price->>'completionPicoUsd')::numeric
    + least(p_reasoning, p_completion) * (p_price->>'reasoningPicoUsd')::numeric
    + 999, 1000)
$$;

-- Takes a hold that was just deleted out of the account's sums, and gives its rates back what it took too much.
CREATE FUNCTION release_1(p_hold holds, p_cost bigint, p_surplus bigint, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE balances SET held = held - p_hold.amount, spent = spent + p_cost WHERE account = p_hold.account;
  UPDATE scopes AS kept SET
    held = s.held - p_hold.amount, holds = s.holds - 1, spent = s.spent + p_cost,
    month = month_1(p_now), spent_in_month = s.spent_in_month + p_cost,
    rated_at = p_now, requests_debt = s.requests_debt,
    tokens_debt = greatest(0, s.tokens_debt - CASE WHEN p_hold.has_own_rates THEN p_surplus * 60000 ELSE 0 END)
  FROM scopes_1(p_hold.account, p_hold.scopes, p_now) s
  WHERE kept.account = p_hold.account AND kept.name = s.name;
END
$$;

-- Charges a hold that was just deleted: its receipt, and a delivery for each webhook.
CREATE FUNCTION charge_1(p_hold holds, p_settlement jsonb, p_surplus bigint, p_webhooks text, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  c_usage constant jsonb := p_settlement->'usage';
  c_prompt constant bigint := c_usage->>'promptTokens';
  c_cached constant bigint := c_usage->>'cachedTokens';
  c_completion constant bigint := c_usage->>'completionTokens';
  c_reasoning constant bigint := c_usage->>'reasoningTokens';
  c_cost constant bigint := CASE WHEN (p_settlement->>'isFree')::boolean THEN 0
    ELSE least(p_hold.amount, cost_1(p_hold.price, c_prompt, c_cached, c_completion, c_reasoning)) END;
BEGIN
  PERFORM release_1(p_hold, c_cost, p_surplus, p_now);
  INSERT INTO receipts VALUES (
    p_hold.account, p_hold.request_id, p_hold.key_id, p_hold.route, p_hold.model, p_hold.price,
    c_prompt, c_cached, c_completion, c_reasoning,
    p_settlement->>'source', p_settlement->>'outcome', p_settlement->>'backend', p_settlement->>'engine',
    (p_settlement->>'ttftMs')::double precision, (p_settlement->>'durationMs')::double precision,
    (p_settlement->>'isFree')::boolean, jsonb_path_query_array(p_hold.scopes, '$[*].name'),
    p_hold.amount, c_cost, p_hold.held_at, p_now
  );
  INSERT INTO deliveries (webhook, account, request_id, due_at)
  SELECT webhook, p_hold.account, p_hold.request_id, p_now FROM jsonb_array_elements_text(p_webhooks::jsonb) AS webhook;
END
$$;

-- {"receipt": ..., "surplus": tokens that another limiter gets back, "scopes": whose}; null where there is no such hold.
CREATE FUNCTION settle_1(
  p_account text, p_request_id text, p_settlement text, p_webhooks text, p_now bigint
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  c_settlement constant jsonb := p_settlement;
  v_balance balances := lock_1(p_account);
  v_receipt jsonb := receipt_1(p_account, p_request_id);
  v_hold holds;
  v_surplus bigint := 0;
BEGIN
  IF v_receipt IS NOT NULL THEN
    RETURN jsonb_build_object('receipt', v_receipt, 'surplus', 0, 'scopes', '[]'::jsonb);
  END IF;
  DELETE FROM holds WHERE account = p_account AND request_id = p_request_id RETURNING * INTO v_hold;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  -- Any other count is only a lower bound.
  IF c_settlement->>'source' = 'engine' THEN
    v_surplus := greatest(0, v_hold.tokens - (c_settlement->'usage'->>'promptTokens')::bigint
      - (c_settlement->'usage'->>'completionTokens')::bigint);
  END IF;
  PERFORM charge_1(v_hold, c_settlement, v_surplus, p_webhooks, clock_1(p_now));
  RETURN jsonb_build_object(
    'receipt', receipt_1(p_account, p_request_id),
    'surplus', CASE WHEN v_hold.has_own_rates THEN 0 ELSE v_surplus END,
    'scopes', v_hold.scopes
  );
END
$$;

-- As settle_1, without a receipt.
CREATE FUNCTION void_1(p_account text, p_request_id text, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_balance balances := lock_1(p_account);
  v_hold holds;
BEGIN
  DELETE FROM holds WHERE account = p_account AND request_id = p_request_id RETURNING * INTO v_hold;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  PERFORM release_1(v_hold, 0, v_hold.tokens, clock_1(p_now));
  RETURN jsonb_build_object(
    'surplus', CASE WHEN v_hold.has_own_rates THEN 0 ELSE v_hold.tokens END, 'scopes', v_hold.scopes
  );
END
$$;

CREATE FUNCTION checkpoint_1(p_account text, p_request_id text, p_usage text, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE holds SET usage = p_usage::jsonb, expires_at = clock_1(p_now) + lease_ms
  WHERE account = p_account AND request_id = p_request_id;
END
$$;

-- Settles up to p_limit holds of the account whose lease had run out at p_at; how many. Its own clock is not overruled by
-- that of a host which is ahead.
CREATE FUNCTION sweep_1(p_account text, p_at bigint, p_limit integer, p_webhooks text, p_now bigint)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  c_no_usage constant jsonb := '{"promptTokens": 0, "cachedTokens": 0, "completionTokens": 0, "reasoningTokens": 0}';
  v_balance balances := lock_1(p_account);
  v_now bigint := clock_1(p_now);
  v_at bigint := CASE WHEN p_now IS NULL THEN least(p_at, v_now) ELSE p_at END;
  v_hold holds;
  v_swept integer := 0;
BEGIN
  FOR v_hold IN
    DELETE FROM holds WHERE account = p_account AND expires_at <= v_at AND request_id IN (
      SELECT request_id FROM holds WHERE account = p_account AND expires_at <= v_at
      ORDER BY expires_at LIMIT p_limit
    ) RETURNING *
  LOOP
    PERFORM charge_1(v_hold, jsonb_build_object('usage', coalesce(v_hold.usage, c_no_usage), 'source', 'counted',
      'outcome', 'lost', 'backend', null, 'engine', 'unknown', 'ttftMs', null,
      'durationMs', greatest(0, v_now - v_hold.held_at), 'isFree', false), 0, p_webhooks, v_now);
    v_swept := v_swept + 1;
  END LOOP;
  RETURN v_swept;
END
$$;

-- A Balance.
CREATE FUNCTION balance_1(p_account text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object(
      'creditedNanoUsd', coalesce(credited, 0), 'availableNanoUsd', coalesce(credited - held - spent, 0),
      'heldNanoUsd', coalesce(held, 0), 'spentNanoUsd', coalesce(spent, 0)
    )
    FROM (SELECT) AS one LEFT JOIN balances ON account = p_account
  );
END
$$;

-- A CreditResult.
CREATE FUNCTION credit_1(p_account text, p_id text, p_amount bigint, p_now bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_balance balances := lock_1(p_account);
  v_available bigint := v_balance.credited - v_balance.held - v_balance.spent;
  v_is_repeat boolean := EXISTS (SELECT FROM credits WHERE account = p_account AND id = p_id);
BEGIN
  IF NOT v_is_repeat AND p_amount < 0 AND v_available + p_amount < 0 THEN
    RETURN jsonb_build_object('ok', false, 'availableNanoUsd', v_available);
  END IF;
  IF NOT v_is_repeat THEN
    INSERT INTO credits VALUES (p_account, p_id, p_amount, clock_1(p_now));
    UPDATE balances SET credited = credited + p_amount WHERE account = p_account;
  END IF;
  RETURN jsonb_build_object('ok', true, 'isRepeat', v_is_repeat, 'balance', balance_1(p_account));
END
$$;
`;
