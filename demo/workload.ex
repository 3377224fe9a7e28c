defmodule ShapeRouter.Demo.Workload do
  @moduledoc """
  Four concurrent pgbench clients with scripts of all kinds, and beside them one client for what is
  large or concerns a whole table.

  Each client has the rows to itself whose key modulo 5 is its number, so that transactions overlap
  but never wait for each other in a circle. The rate follows what the router keeps up with: when it
  falls behind, the next slice is slower, so that the demo ends in time on a slow machine too.
  """

  alias ShapeRouter.Demo.{Schema, Server, Statistics}

  @clients 4
  @slice_seconds 2
  @first_rate 300
  @behind_too_far_ms 1_000

  @doc "Runs for so many seconds."
  @spec run(Server.t(), Statistics.t(), pos_integer()) :: :ok
  def run(server, statistics, seconds) do
    directory = Path.join(server.directory, "workload")
    File.mkdir_p!(directory)

    scripts =
      for {name, weight, script} <- scripts() do
        file = Path.join(directory, "#{name}.sql")
        File.write!(file, script)
        "#{file}@#{weight}"
      end

    state = %{
      server: server,
      statistics: statistics,
      scripts: scripts,
      rate: @first_rate,
      truncates: 0
    }

    state = slices(state, seconds, 0)
    # In a run that is too short for it otherwise.
    if state.truncates == 0, do: wait_until_flowing(state, 600)
    :ok
  end

  defp slices(state, seconds, _number) when seconds <= 0, do: state

  defp slices(state, seconds, number) do
    %{server: server, statistics: statistics} = state
    slice = min(@slice_seconds, seconds)
    truncate? = rem(number, 2) == 1 and flowing?(state)
    large = if truncate?, do: truncate_sql(), else: large_sql(number)
    special = Task.async(fn -> Server.psql!(server, large) end)

    args =
      ~w(-n -c #{@clients} -j 2 -T #{slice} -R #{state.rate}) ++
        Enum.flat_map(state.scripts, &["-f", &1])

    Server.client!(server, "pgbench", args)
    Task.await(special, 60_000)

    # Far behind: let it catch up before more is asked of it.
    rate = next_rate(state.rate, Statistics.get(statistics).behind_ms)
    pause(statistics, 20)
    truncates = state.truncates + if(truncate?, do: 1, else: 0)
    slices(%{state | rate: rate, truncates: truncates}, seconds - slice, number + 1)
  end

  defp next_rate(rate, behind) when behind > @behind_too_far_ms, do: max(20, div(rate, 2))
  defp next_rate(rate, _behind), do: min(5_000, div(rate * 5, 4))

  # TRUNCATE does not care for snapshots: a table is empty after it, for older ones too. So there is
  # none before the copies are filled from theirs, which is when the WAL begins to flow.
  defp flowing?(state), do: Statistics.get(state.statistics).fragments > 0

  defp wait_until_flowing(_state, 0), do: :ok

  defp wait_until_flowing(state, tries) do
    if flowing?(state) do
      Server.psql!(state.server, truncate_sql())
    else
      Process.sleep(100)
      wait_until_flowing(state, tries - 1)
    end
  end

  defp pause(_statistics, 0), do: :ok

  defp pause(statistics, tries) do
    if Statistics.get(statistics).behind_ms > 2 * @behind_too_far_ms do
      Process.sleep(100)
      pause(statistics, tries - 1)
    end
  end

  # The rows of the fifth client (`0 * n`: a new number for each of them). Thousands of changes in a transaction; a whole table emptied.
  defp large_sql(number) do
    """
    BEGIN;
    INSERT INTO events SELECT e.* FROM generate_series(1, 2000) n, new_event(nextval('event_ids') + 0 * n) e;
    UPDATE todos SET priority = (priority + 1) % 10, score = score + 1
      WHERE id % 5 = 4 AND (id / 5) % 4 = #{rem(div(number, 2), 4)};
    DELETE FROM events WHERE id % 5 = 4 AND id % 3 = 0;
    COMMIT;
    """
  end

  defp truncate_sql do
    """
    BEGIN;
    TRUNCATE events;
    INSERT INTO events SELECT e.* FROM generate_series(1, 1500) n, new_event(nextval('event_ids') + 0 * n) e;
    COMMIT;
    BEGIN;
    UPDATE todos SET user_id = upto(#{Schema.users()}) WHERE id % 5 = 4 AND id % 3 = 0;
    INSERT INTO todos SELECT t.* FROM generate_series(1, 500) n,
      new_todo(nextval('todo_ids') * 5 + 4 + 0 * n) t;
    ROLLBACK;
    """
  end

  # `:id` is a row of this client: an old one, or one that was inserted since; it may be gone.
  defp a_todo do
    """
    \\set id random(1, #{div(Schema.todos(), 5) + 1500}) * 5 + :client_id
    """
  end

  defp scripts do
    users = Schema.users()
    projects = Schema.projects_with_todos()

    insert_todo =
      "INSERT INTO todos SELECT t.* FROM new_todo(nextval('todo_ids') * 5 + :client_id) t;\n"

    insert_event = "INSERT INTO events SELECT e.* FROM new_event(nextval('event_ids')) e;\n"

    an_event = """
    \\set number random(1, 12000)
    SELECT coalesce(max(id), 0) AS id FROM events WHERE id % 5 = :client_id
      AND id <= (SELECT last_value - :number FROM event_ids) \\gset
    """

    [
      {"insert", 12, insert_todo},
      {"status", 16,
       a_todo() <>
         "UPDATE todos SET status = random_status(), done = random() < 0.3, priority = upto(10) WHERE id = :id;"},
      {"move", 14,
       a_todo() <>
         """
         UPDATE todos SET user_id = upto(#{users}), project_id = 1 + upto(#{projects}) WHERE id = :id;
         """},
      {"unrelated", 8, a_todo() <> "UPDATE todos SET title = title WHERE id = :id;"},
      {"values", 10,
       a_todo() <>
         """
         UPDATE todos SET amount = random_amount(), score = random_score(), due_at = random_due()
           WHERE id = :id;
         """},
      {"title", 5,
       a_todo() <>
         """
         UPDATE todos SET title = random_title(), token = md5('token ' || upto(3000))::uuid
           WHERE id = :id;
         """},
      {"body", 3, a_todo() <> "UPDATE todos SET body = random_body(upto(3)) WHERE id = :id;"},
      {"key", 4,
       a_todo() <> "UPDATE todos SET id = nextval('todo_ids') * 5 + :client_id WHERE id = :id;"},
      {"key_and_more", 2,
       a_todo() <>
         """
         UPDATE todos SET id = nextval('todo_ids') * 5 + :client_id, user_id = upto(#{users}),
           status = random_status() WHERE id = :id;
         """},
      {"delete", 6, a_todo() <> "DELETE FROM todos WHERE id = :id;"},
      {"event", 8, "BEGIN;\n" <> String.duplicate(insert_event, 3) <> "COMMIT;"},
      {"event_update", 5,
       an_event <> "UPDATE events SET kind = 'edit', cost = cost + 1 WHERE id = :id;"},
      # Another bucket is another partition: the row is deleted there and inserted here.
      {"event_move", 4,
       an_event <> "UPDATE events SET bucket = (bucket + 1) % 4 WHERE id = :id;"},
      {"event_key", 3,
       an_event <> "UPDATE events SET id = nextval('event_ids'), kind = 'share' WHERE id = :id;"},
      {"event_delete", 3, an_event <> "DELETE FROM events WHERE id = :id;"},
      {"project", 5,
       """
       \\set id random(0, #{div(projects, 4) - 1}) * 4 + :client_id + 1
       UPDATE projects SET owner_id = upto(300), archived = NOT archived, budget = budget + 10.5
         WHERE id = :id;
       """},
      {"projects", 2,
       """
       BEGIN;
       INSERT INTO projects SELECT p.* FROM new_project(nextval('project_ids')::int4 * 4 + :client_id) p;
       DELETE FROM projects WHERE id > #{projects} AND id % 4 = :client_id AND id % 7 = upto(7);
       UPDATE projects SET name = word() || ' ' || upto(100)
         WHERE id > #{projects} AND id % 4 = :client_id;
       COMMIT;
       """},
      {"rollback", 4,
       a_todo() <>
         "BEGIN;\n" <>
         insert_todo <>
         insert_event <>
         """
         UPDATE todos SET user_id = upto(#{users}) WHERE id = :id;
         DELETE FROM todos WHERE id = :id;
         ROLLBACK;
         """},
      {"savepoints", 4,
       a_todo() <>
         "BEGIN;\nUPDATE todos SET priority = upto(10) WHERE id = :id;\nSAVEPOINT a;\n" <>
         insert_todo <>
         """
         DELETE FROM todos WHERE id = :id;
         SAVEPOINT b;
         UPDATE todos SET status = 'open' WHERE id = :id + 5;
         ROLLBACK TO a;
         UPDATE todos SET status = random_status() WHERE id = :id;
         RELEASE a;
         COMMIT;
         """},
      # The same row several times in one transaction.
      {"again_and_again", 3,
       a_todo() <>
         """
         BEGIN;
         UPDATE todos SET user_id = upto(#{users}) WHERE id = :id;
         UPDATE todos SET user_id = upto(#{users}), body = random_body(0) WHERE id = :id;
         UPDATE todos SET status = random_status() WHERE id = :id;
         DELETE FROM todos WHERE id = :id;
         INSERT INTO todos SELECT t.* FROM new_todo(:id) t WHERE :id < #{Schema.todos()};
         UPDATE todos SET priority = upto(10) WHERE id = :id;
         COMMIT;
         """},
      {"all_tables", 4,
       a_todo() <>
         """
         \\set project random(0, #{div(projects, 4) - 1}) * 4 + :client_id + 1
         BEGIN;
         UPDATE projects SET budget = budget - 1 WHERE id = :project;
         UPDATE todos SET project_id = :project, amount = random_amount() WHERE id = :id;
         """ <> insert_todo <> insert_event <> "COMMIT;"}
    ]
  end
end
