-- voxpool's memory in a Supabase project. Run it once in the project's SQL editor; running it again
-- does no harm. The worker then needs SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY.
--
-- The worker calls three functions, each with a whole batch in the body of its request: one round
-- trip serves any number of callers, and no caller's identity is part of an address that a gateway
-- would log. The functions run with the rights of whoever calls them, so they open nothing.

CREATE SEQUENCE IF NOT EXISTS public.voxpool_memories_saved;

-- `saved` numbers the saves: a row that is replaced gets a new number, so the latest has the highest.
CREATE TABLE IF NOT EXISTS public.voxpool_memories (
    user_id  text NOT NULL,
    category text NOT NULL,
    key      text NOT NULL,
    value    text NOT NULL,
    saved    bigint NOT NULL DEFAULT nextval('public.voxpool_memories_saved'),
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, category, key)
);

-- A user's latest, without sorting.
CREATE INDEX IF NOT EXISTS voxpool_memories_latest
    ON public.voxpool_memories (user_id, saved DESC);

-- Saves an array of {user_id, category, key, value}; no two may have the same key. They are numbered
-- in their order, and written in the order of their keys: two batches never wait for each other.
CREATE OR REPLACE FUNCTION public.voxpool_save(rows jsonb) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS $$
    WITH numbered AS MATERIALIZED (
        SELECT item, nextval('public.voxpool_memories_saved') AS saved
        FROM (
            SELECT item FROM jsonb_array_elements(rows) WITH ORDINALITY AS given (item, place)
            ORDER BY place
        ) AS ordered
    )
    INSERT INTO public.voxpool_memories AS memories (user_id, category, key, value, saved)
    SELECT item ->> 'user_id', item ->> 'category', item ->> 'key', item ->> 'value', saved
    FROM numbered ORDER BY 1, 2, 3
    ON CONFLICT (user_id, category, key)
    DO UPDATE SET value = EXCLUDED.value, saved = EXCLUDED.saved, saved_at = now()
$$;

-- Deletes what an array of {user_id, category or null, key or null} describes; returns the keys of
-- what was there.
CREATE OR REPLACE FUNCTION public.voxpool_delete(wanted jsonb) RETURNS jsonb
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS $$
    WITH gone AS (
        DELETE FROM public.voxpool_memories AS memories
        USING jsonb_array_elements(wanted) AS item
        WHERE memories.user_id = item ->> 'user_id'
            AND (item ->> 'category' IS NULL OR memories.category = item ->> 'category')
            AND (item ->> 'key' IS NULL OR memories.key = item ->> 'key')
        RETURNING memories.user_id, memories.category, memories.key
    )
    SELECT coalesce(jsonb_agg(to_jsonb(gone)), '[]') FROM gone
$$;

-- Reads what an array of {user_id, category or null, key or null, count_max} describes, the latest
-- first. One JSON value, because the API cuts off rows beyond its `max-rows` without a word.
CREATE OR REPLACE FUNCTION public.voxpool_get(wanted jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS $$
    SELECT coalesce(
        jsonb_agg(
            jsonb_build_object(
                'place', asked.place - 1,
                'category', found.category,
                'key', found.key,
                'value', found.value
            )
            ORDER BY asked.place, found.saved DESC
        ),
        '[]'
    )
    FROM jsonb_array_elements(wanted) WITH ORDINALITY AS asked (item, place)
    CROSS JOIN LATERAL (
        SELECT category, key, value, saved FROM public.voxpool_memories AS memories
        WHERE memories.user_id = asked.item ->> 'user_id'
            AND (asked.item ->> 'category' IS NULL
                OR memories.category = asked.item ->> 'category')
            AND (asked.item ->> 'key' IS NULL OR memories.key = asked.item ->> 'key')
        ORDER BY saved DESC LIMIT (asked.item ->> 'count_max')::bigint
    ) AS found
$$;

-- Only the service role gets in. Supabase grants every new table and function to `anon` and
-- `authenticated` by default, so that is taken back; row-level security without a policy closes the
-- table a second time.
ALTER TABLE public.voxpool_memories ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.voxpool_memories FROM PUBLIC, anon, authenticated;
REVOKE ALL ON SEQUENCE public.voxpool_memories_saved FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
    public.voxpool_get(jsonb) FROM PUBLIC, anon, authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.voxpool_memories TO service_role;
GRANT USAGE ON SEQUENCE public.voxpool_memories_saved TO service_role;
GRANT EXECUTE ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
    public.voxpool_get(jsonb) TO service_role;

-- With the anonymous (publishable) key instead of the service role key, run this as well, without the
-- leading dashes. Each request is then for one caller, whom the header `x-voxpool-user` names (in
-- base64), and the database lets it touch that caller's rows only.
--
-- What that gives: whatever goes wrong in the worker, one caller's request cannot reach another's
-- rows. What it does not give: a secret. The anonymous key is made to be public, and whoever has it
-- can name any caller. Use it only where nobody else has the key; on a server the service role key
-- is the better one, and faster: it needs one request for all callers.
--
-- begin: anonymous key
-- GRANT SELECT, INSERT, UPDATE, DELETE ON public.voxpool_memories TO anon;
-- GRANT USAGE ON SEQUENCE public.voxpool_memories_saved TO anon;
-- GRANT EXECUTE ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
--     public.voxpool_get(jsonb) TO anon;
-- CREATE POLICY voxpool_own_rows ON public.voxpool_memories TO anon
--     USING (user_id = convert_from(decode(
--         current_setting('request.headers', true)::json ->> 'x-voxpool-user', 'base64'), 'UTF8'))
--     WITH CHECK (user_id = convert_from(decode(
--         current_setting('request.headers', true)::json ->> 'x-voxpool-user', 'base64'), 'UTF8'));
-- end: anonymous key

-- The API learns of the new functions.
NOTIFY pgrst, 'reload schema';
