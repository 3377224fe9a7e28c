defmodule ShapeRouter.Source.RowsTest do
  # Rows as they stand in a real PostgreSQL, read by keys and as a whole table; and the collector that completes
  # by them what the WAL leaves out.
  use ExUnit.Case

  import ExUnit.CaptureLog

  alias ShapeRouter.Demo.{Json, Server}
  alias ShapeRouter.{Error, ShapeLog, ShapeLogCollector}
  alias ShapeRouter.Source.Postgres

  @moduletag timeout: 120_000
  @moduletag :tmp_dir

  setup_all do
    %{server: ShapeRouter.PostgresServer.start()}
  end

  setup %{server: server, test: test} do
    name = "t#{:erlang.phash2(test)}"

    Server.psql!(server, """
    CREATE TABLE #{name} (id int8 PRIMARY KEY, n int4, body text);
    ALTER TABLE #{name} ALTER body SET STORAGE EXTERNAL;
    """)

    %{name: name, table: {"public", name}}
  end

  defp kill_readers(server, name) do
    Server.psql!(server, """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'shape_router' AND backend_type = 'client backend' AND query LIKE '%#{name}%';
    """)
    |> String.trim()
  end

  test "by keys: composite ones, quoted names, rows and tables that are gone", %{
    server: server,
    table: table,
    name: name
  } do
    read = Postgres.read_rows(Server.connection(server) ++ [timeout_ms: 5_000])
    assert {:ok, []} = read.(table, [], :all)
    assert {:ok, []} = read.(table, [%{"id" => "1"}], :all)
    Server.psql!(server, "INSERT INTO #{name} VALUES (1, NULL, 'it''s'), (2, 5, '');")
    keys = for id <- ["1", "2", "3"], do: %{"id" => id}

    assert {:ok, [%{"id" => "1", "n" => nil, "body" => "it's"}, %{"id" => "2", "body" => ""}]} =
             read.(table, keys, :all)

    assert {:ok, [%{"id" => "2", "n" => "5"}]} == read.(table, [%{"id" => 2}], ["n"])

    Server.psql!(server, """
    CREATE TABLE "A ""b\""" ("x.y" text, "SELECT" int, PRIMARY KEY ("SELECT", "x.y"));
    INSERT INTO "A ""b\""" VALUES (''';', 7);
    """)

    key = %{"x.y" => "';", "SELECT" => "7"}
    assert {:ok, [^key]} = read.({"public", ~s(A "b")}, [key], :all)

    assert {:error, %Error{code: :unknown_table, message: message}} =
             read.({"no", "t"}, keys, :all)

    assert message =~ "no.t"
    assert {:error, %Error{code: :source_error, sqlstate: "42703"}} = read.(table, keys, ["gone"])
    assert {:error, %Error{sqlstate: "22P02"}} = read.(table, [%{"id" => "x"}], :all)

    assert {:error, %Error{code: :invalid_argument}} =
             read.(table, [%{"id" => "1"}, %{"n" => "1"}], :all)

    # A connection that was lost is made again.
    assert kill_readers(server, name) == "1"
    assert {:ok, [%{"id" => "1"}]} = read.(table, [%{"id" => "1"}], [])

    assert_raise Error, ~r/hots/, fn -> Postgres.read_rows(hots: "x") end
    nowhere = Postgres.read_rows(port: 1, timeout_ms: 300)
    assert {:error, %Error{code: :source_error}} = nowhere.(table, keys, :all)
  end

  test "a whole table, with the snapshot that it is of", %{
    server: server,
    table: table,
    name: name
  } do
    Server.psql!(server, "INSERT INTO #{name} SELECT n, n, 'x' FROM generate_series(1, 2500) n;")
    load = Postgres.load_rows(Server.connection(server))
    assert {:ok, {xmin, xmax, xip, lsn}, rows} = load.(table)
    assert is_integer(xmin) and xmin <= xmax and is_list(xip) and lsn > 0
    # What happens from now on is not in it.
    Server.psql!(server, "DELETE FROM #{name} WHERE id > 10;")
    ids = rows |> Enum.map(&String.to_integer(&1["id"])) |> Enum.sort()
    assert ids == Enum.to_list(1..2500)
    assert {:ok, _, rows} = load.(table)
    assert Enum.count(rows) == 10
    assert {:error, %Error{code: :unknown_table}} = load.({"public", "gone"})

    # As an exported snapshot shows it.
    exporter =
      Port.open({:spawn_executable, Path.join(server.bin, "psql")}, [
        :binary,
        {:line, 1000},
        args: ["-XqAt"],
        env: for({k, v} <- Server.environment(server), v, do: {~c"#{k}", ~c"#{v}"})
      ])

    Port.command(
      exporter,
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot();\n"
    )

    assert_receive {^exporter, {:data, {:eol, exported}}}, 10_000
    Server.psql!(server, "DELETE FROM #{name};")
    load = Postgres.load_rows(Server.connection(server), snapshot: exported)
    assert {:ok, {_, _, _, _}, rows} = load.(table)
    assert Enum.count(rows) == 10
    Port.close(exporter)
    load = Postgres.load_rows(Server.connection(server), snapshot: "'; no")
    assert {:error, %Error{code: :source_error}} = load.(table)
    load = Postgres.load_rows(Server.connection(server))

    # Taking some of them is enough, and ends the connection.
    Server.psql!(server, "INSERT INTO #{name} SELECT n, n, 'x' FROM generate_series(1, 2500) n;")
    assert {:ok, _, rows} = load.(table)
    assert [_] = Enum.take(rows, 1)
    assert {:ok, _, rows} = load.(table)

    assert_raise Error, fn ->
      rows |> Stream.each(fn _ -> kill_readers(server, name) end) |> Stream.run()
    end
  end

  defp started(server, name, dir, opts \\ []) do
    collector =
      start_supervised!(
        {ShapeLogCollector,
         [
           storage_dir: dir,
           tables: [{name, columns: [id: :int8, n: :int4, body: :text], primary_key: [:id]}]
         ] ++ opts}
      )

    :ok = ShapeLogCollector.add_shape(collector, 1, {name, "n = 5"}, keys: [])

    source =
      start_supervised!(
        {Postgres,
         connection: Server.connection(server),
         slot: name,
         publication: name,
         tables: [name],
         subscriber: collector,
         backoff_min_ms: 10}
      )

    wait_until(fn -> Postgres.status(source).state == :streaming end)
    {collector, source}
  end

  defp wait_until(condition, tries \\ 500) do
    cond do
      condition.() -> :ok
      tries == 0 -> flunk("it did not come to that")
      true -> Process.sleep(20) && wait_until(condition, tries - 1)
    end
  end

  defp logged(collector) do
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, 1)

    case ShapeLog.read(log, :before_all) do
      {:cached, json, _} -> Json.decode!(json)
      {:stream, pieces, _} -> pieces |> Enum.to_list() |> IO.iodata_to_binary() |> Json.decode!()
    end
  end

  defp operations(collector) do
    for %{"headers" => headers, "value" => value} <- logged(collector),
        do: {headers["operation"], value["id"], value["body"] && byte_size(value["body"])}
  end

  test "the collector reads through its source what the WAL leaves out, also over a lost connection",
       %{server: server, name: name, tmp_dir: dir} do
    {collector, _source} = started(server, name, dir)
    large = "repeat('x', 9000)"
    Server.psql!(server, "INSERT INTO #{name} VALUES (1, 0, #{large}), (2, 0, #{large});")
    # It enters without its large column.
    Server.psql!(server, "UPDATE #{name} SET n = 5 WHERE id = 1;")
    wait_until(fn -> length(operations(collector)) == 1 end)
    assert operations(collector) == [{"insert", "1", 9000}]
    # The connections are lost, all of them.
    Server.psql!(server, """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shape_router';
    """)

    Server.psql!(server, "UPDATE #{name} SET n = 5 WHERE id = 2;")
    wait_until(fn -> length(operations(collector)) == 2 end)
    assert operations(collector) == [{"insert", "1", 9000}, {"insert", "2", 9000}]

    # One that is gone before it can be read.
    Server.psql!(server, """
    BEGIN; INSERT INTO #{name} VALUES (3, 0, #{large}); COMMIT;
    BEGIN; UPDATE #{name} SET n = 5 WHERE id = 3; DELETE FROM #{name} WHERE id = 3; COMMIT;
    """)

    wait_until(fn -> length(operations(collector)) == 4 end)
    assert [{"insert", "3", nil}, {"delete", "3", _}] = Enum.drop(operations(collector), 2)
  end

  test "a table that is gone by then does not stop what comes after", %{
    server: server,
    name: name,
    tmp_dir: dir
  } do
    {collector, source} = started(server, name, dir)
    :ok = Supervisor.terminate_child(ExUnit.fetch_test_supervisor() |> elem(1), Postgres)
    refute Process.alive?(source)

    Server.psql!(server, """
    INSERT INTO #{name} VALUES (1, 0, repeat('x', 9000));
    UPDATE #{name} SET n = 5;
    ALTER TABLE #{name} RENAME body TO text;
    """)

    log =
      capture_log(fn ->
        {:ok, _} = Supervisor.restart_child(ExUnit.fetch_test_supervisor() |> elem(1), Postgres)
        wait_until(fn -> operations(collector) != [] end)
      end)

    assert operations(collector) == [{"insert", "1", nil}]
    assert log =~ "logged without what the WAL left out"
    assert log =~ "body"
  end

  test "nobody reads where nobody shall", %{server: server, name: name, tmp_dir: dir} do
    {collector, _source} = started(server, name, dir, read_rows: nil)

    Server.psql!(server, """
    INSERT INTO #{name} VALUES (1, 0, repeat('x', 9000));
    UPDATE #{name} SET n = 5;
    """)

    wait_until(fn -> operations(collector) != [] end)
    assert operations(collector) == [{"insert", "1", nil}]
  end
end
