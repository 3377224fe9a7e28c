defmodule ShapeRouter.Demo.Schema do
  @moduledoc """
  The demo's tables: `projects`, their `todos` (with a column that PostgreSQL stores out of line),
  and `events`, which is partitioned and has a key of two columns.
  """

  @projects 1_200
  # Projects above have no todos, so that they can be deleted.
  @projects_with_todos 1_000
  @todos 30_000
  @events 6_000
  @users 2_000
  @words ~w(alpha bravo carrot delta ember falcon garnet harbor indigo juniper kettle lantern
    marble nectar orchid pepper quartz raven saffron timber umber velvet willow yarrow zephyr)

  @tables %{
    "projects" => [
      {"id", "int4"},
      {"owner_id", "int8"},
      {"name", "text"},
      {"region", "text"},
      {"budget", "numeric"},
      {"archived", "bool"}
    ],
    "todos" => [
      {"id", "int8"},
      {"project_id", "int4"},
      {"user_id", "int8"},
      {"status", "text"},
      {"priority", "int2"},
      {"amount", "numeric"},
      {"score", "float8"},
      {"done", "bool"},
      {"token", "uuid"},
      {"due_at", "timestamptz"},
      {"title", "text"},
      {"body", "text"}
    ],
    "events" => [
      {"id", "int8"},
      {"bucket", "int2"},
      {"todo_id", "int8"},
      {"kind", "text"},
      {"cost", "numeric"},
      {"at", "timestamptz"}
    ]
  }

  @keys %{"projects" => ["id"], "todos" => ["id"], "events" => ["id", "bucket"]}

  def tables, do: @tables |> Map.keys() |> Enum.sort()
  def columns(table), do: Map.fetch!(@tables, table)
  def key(table), do: Map.fetch!(@keys, table)

  @doc "The one column whose value the WAL leaves out when an UPDATE does not change it."
  def toasted("todos"), do: "body"
  def toasted(_table), do: nil

  def projects, do: @projects
  def projects_with_todos, do: @projects_with_todos
  def todos, do: @todos
  def events, do: @events
  def users, do: @users
  def words, do: @words

  @doc "The token that todos share: one of 3,000, so that a shape can name one."
  def token(number) do
    <<a::binary-8, b::binary-4, c::binary-4, d::binary-4, e::binary-12>> =
      Base.encode16(:erlang.md5("token #{number}"), case: :lower)

    Enum.join([a, b, c, d, e], "-")
  end

  @doc "Creates the tables and fills them."
  def create_sql(identity) when identity in [:default, :full] do
    words = Enum.map_join(@words, ",", &"'#{&1}'")

    """
    CREATE TABLE projects (
      id int4 PRIMARY KEY, owner_id int8, name text, region text, budget numeric, archived bool);
    CREATE TABLE todos (
      id int8 PRIMARY KEY, project_id int4 REFERENCES projects, user_id int8, status text,
      priority int2, amount numeric, score float8, done bool, token uuid, due_at timestamptz,
      title text, body text);
    ALTER TABLE todos ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE INDEX ON todos (project_id);
    CREATE TABLE events (
      id int8, bucket int2, todo_id int8, kind text, cost numeric, at timestamptz,
      PRIMARY KEY (id, bucket)) PARTITION BY LIST (bucket);
    #{for bucket <- 0..3, do: "CREATE TABLE events_#{bucket} PARTITION OF events FOR VALUES IN (#{bucket});\n"}
    CREATE SEQUENCE project_ids START #{@projects + 1};
    CREATE SEQUENCE todo_ids START #{div(@todos, 5) + 1};
    CREATE SEQUENCE event_ids START #{@events + 1};

    -- Random values, as the workload and the first filling use them.
    CREATE FUNCTION pick(text[]) RETURNS text LANGUAGE sql VOLATILE AS
      $$ SELECT $1[1 + floor(random() * cardinality($1))::int] $$;
    CREATE FUNCTION upto(int) RETURNS int LANGUAGE sql VOLATILE AS
      $$ SELECT floor(random() * $1)::int $$;
    CREATE FUNCTION word() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT pick(ARRAY[#{words}]) $$;
    CREATE FUNCTION random_status() RETURNS text LANGUAGE sql VOLATILE AS
      $$ SELECT pick(ARRAY['open','open','open','doing','waiting','done','dropped',NULL]) $$;
    CREATE FUNCTION random_amount() RETURNS numeric LANGUAGE sql VOLATILE AS
      $$ SELECT CASE upto(200) WHEN 0 THEN NULL WHEN 1 THEN 'NaN' ELSE round((random() * 1000)::numeric, upto(4)) END $$;
    CREATE FUNCTION random_score() RETURNS float8 LANGUAGE sql VOLATILE AS
      $$ SELECT CASE upto(200) WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-0'
                ELSE random() * 100 END $$;
    CREATE FUNCTION random_due() RETURNS timestamptz LANGUAGE sql VOLATILE AS
      $$ SELECT CASE upto(10) WHEN 0 THEN NULL ELSE '2026-01-01 UTC'::timestamptz + random() * interval '360 days' END $$;
    CREATE FUNCTION random_title() RETURNS text LANGUAGE sql VOLATILE AS
      $$ SELECT word() || '-' || upto(1000) || ' ' || word() $$;
    -- One in ten is stored out of line, some are short, most are NULL.
    CREATE FUNCTION random_body(int) RETURNS text LANGUAGE sql VOLATILE AS
      $$ SELECT CASE WHEN $1 = 0 THEN (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 75))
                     WHEN $1 = 1 THEN substr(md5(random()::text), 1, 12) END $$;
    CREATE FUNCTION new_project(int4) RETURNS SETOF projects LANGUAGE sql VOLATILE ROWS 1 AS
      $$ SELECT $1, upto(300)::int8, word() || ' ' || upto(100), pick(ARRAY['north','south','east','west']),
                round((random() * 10000)::numeric, upto(3)), random() < 0.2 $$;
    CREATE FUNCTION new_todo(int8) RETURNS SETOF todos LANGUAGE sql VOLATILE ROWS 1 AS
      $$ SELECT $1, 1 + upto(#{@projects_with_todos}), upto(#{@users})::int8, random_status(),
                nullif(upto(11), 10)::int2, random_amount(), random_score(), random() < 0.3,
                md5('token ' || upto(3000))::uuid, random_due(), random_title(), random_body(upto(10)) $$;
    CREATE FUNCTION new_event(int8) RETURNS SETOF events LANGUAGE sql VOLATILE ROWS 1 AS
      $$ SELECT $1, upto(4)::int2, upto(3000)::int8, pick(ARRAY['view','edit','share','print','close']),
                round((random() * 50)::numeric, 2), '2026-01-01 UTC'::timestamptz + random() * interval '30 days' $$;

    INSERT INTO projects SELECT p.* FROM generate_series(1, #{@projects}) n, new_project(n) p;
    INSERT INTO todos SELECT t.* FROM generate_series(1, #{@todos}) n, new_todo(n + 4) t;
    INSERT INTO events SELECT e.* FROM generate_series(1, #{@events}) n, new_event(n) e;
    #{if identity == :full, do: full_identity()}
    ANALYZE;
    """
  end

  # The partitions say what is logged, the root says how it is published.
  defp full_identity do
    for table <- ["projects", "todos", "events" | Enum.map(0..3, &"events_#{&1}")] do
      "ALTER TABLE #{table} REPLICA IDENTITY FULL;\n"
    end
  end

  @doc "A column as the WAL prints it, in SQL."
  def text_sql({name, "bool"}), do: "CASE WHEN #{name} THEN 't' WHEN NOT #{name} THEN 'f' END"
  def text_sql({name, _type}), do: "#{name}::text"

  @doc "A row's key as the copies know it, in SQL; `key_text/2` makes the same from a record."
  def key_sql(table), do: Enum.map_join(key(table), " || ',' || ", &"#{&1}::text")

  @spec key_text(String.t(), map()) :: String.t()
  def key_text("events", %{"id" => id, "bucket" => bucket}), do: id <> "," <> bucket
  def key_text(_table, %{"id" => id}), do: id
end
