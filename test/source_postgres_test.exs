defmodule ShapeRouter.Source.PostgresTest do
  # A real PostgreSQL: its WAL, as Elixir sees it.
  use ExUnit.Case

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, Transaction}
  alias ShapeRouter.Changes.{TruncatedRelation, UpdatedRecord}
  alias ShapeRouter.Demo.Server
  alias ShapeRouter.Error
  alias ShapeRouter.Source.Postgres

  @moduletag timeout: 120_000

  setup_all do
    %{server: ShapeRouter.PostgresServer.start()}
  end

  setup %{server: server, test: test} do
    name = "t#{:erlang.phash2(test)}"
    Server.psql!(server, "CREATE TABLE #{name} (id int8 PRIMARY KEY, n int4, body text);
      ALTER TABLE #{name} ALTER body SET STORAGE EXTERNAL;")
    %{name: name, table: {"public", name}}
  end

  defp start(server, name, opts) do
    opts =
      Keyword.merge(
        [
          connection: Server.connection(server),
          slot: name,
          publication: name,
          tables: ["public.#{name}"],
          subscriber: self()
        ],
        opts
      )

    source = start_supervised!({Postgres, opts}, id: make_ref())
    assert_receive {:shape_router_source, ^source, {:started, started}}, 10_000
    {source, started}
  end

  defp transaction(source) do
    assert_receive {:shape_router_source, ^source, {:transaction, %Transaction{} = transaction}},
                   10_000

    transaction
  end

  defp rows(transaction), do: Enum.reject(transaction.changes, &is_struct(&1, Relation))

  test "every kind of change, with NULL and unchanged TOAST told apart", %{
    server: server,
    name: name,
    table: table
  } do
    {source, started} = start(server, name, credits: 100)
    assert started.slot_created and started.lsn > 0
    large = String.duplicate("x", 9000)

    Server.psql!(server, """
    BEGIN;
    INSERT INTO #{name} VALUES (1, NULL, '#{large}');
    UPDATE #{name} SET n = 5;
    UPDATE #{name} SET id = 2;
    DELETE FROM #{name};
    TRUNCATE #{name};
    COMMIT;
    """)

    transaction = transaction(source)
    assert %{fragment: 0, last?: true, xid: xid, commit_timestamp: %DateTime{} = at} = transaction
    assert xid > 0 and abs(DateTime.diff(DateTime.utc_now(), at)) < 60

    assert %Relation{table: ^name, columns: [%{name: "id", type_oid: 20, key?: true} | _]} =
             hd(transaction.changes)

    assert [
             %NewRecord{relation: ^table, record: %{"id" => "1", "n" => nil, "body" => ^large}},
             %UpdatedRecord{
               record: %{"id" => "1", "n" => "5"} = record,
               old_record: nil,
               old_key: nil
             },
             %UpdatedRecord{record: %{"id" => "2"}, old_key: %{"id" => "1"} = old_key},
             %DeletedRecord{old_record: nil, old_key: %{"id" => "2"}},
             %TruncatedRelation{relation: ^table}
           ] = rows(transaction)

    refute is_map_key(record, "body")
    assert map_size(old_key) == 1
    offsets = transaction |> rows() |> Enum.map(& &1.log_offset)
    assert offsets == Enum.sort(offsets)
  end

  test "REPLICA IDENTITY FULL brings old rows", %{server: server, name: name} do
    {source, _} = start(server, name, credits: 100)

    Server.psql!(
      server,
      "ALTER TABLE #{name} REPLICA IDENTITY FULL; INSERT INTO #{name} VALUES (1, 1, 'a');"
    )

    transaction(source)
    Server.psql!(server, "UPDATE #{name} SET n = 2; DELETE FROM #{name};")
    old = %{"id" => "1", "n" => "1", "body" => "a"}
    assert [%UpdatedRecord{old_record: ^old, old_key: nil}] = rows(transaction(source))
    assert [%DeletedRecord{old_record: %{"n" => "2"}, old_key: nil}] = rows(transaction(source))
  end

  test "what is acknowledged does not come again, what is not does", %{server: server, name: name} do
    {source, _} = start(server, name, credits: 100)
    for id <- 1..3, do: Server.psql!(server, "INSERT INTO #{name} VALUES (#{id});")
    [first | _] = for _ <- 1..3, do: transaction(source)
    :ok = Postgres.ack(source, first.lsn)
    assert %{state: :streaming} = Postgres.status(source)
    # Stopping tells the server what was confirmed.
    :ok = Postgres.stop(source)
    assert_receive {:shape_router_source, ^source, {:stopped, nil}}
    {again, started} = start(server, name, credits: 100)
    refute started.slot_created
    ids = for _ <- 1..2, do: hd(rows(transaction(again))).record["id"]
    assert ids == ["2", "3"]
  end

  test "large transactions come in fragments, no more than there are credits", %{
    server: server,
    name: name
  } do
    {source, _} = start(server, name, credits: 2, max_fragment_changes: 100)
    Server.psql!(server, "INSERT INTO #{name} SELECT g FROM generate_series(1, 1000) g;")
    first = transaction(source)
    second = transaction(source)
    assert {first.fragment, first.last?, second.fragment, second.lsn} == {0, false, 1, first.lsn}
    refute_receive {:shape_router_source, ^source, {:transaction, _}}, 300

    rest =
      Stream.repeatedly(fn ->
        :ok = Postgres.ready(source)
        transaction(source)
      end)

    fragments = [first, second | take_to_last(rest)]
    assert Enum.map(fragments, & &1.fragment) == Enum.to_list(0..(length(fragments) - 1))

    ids =
      for fragment <- fragments, %NewRecord{record: record} <- fragment.changes, do: record["id"]

    assert ids == Enum.map(1..1000, &Integer.to_string/1)
  end

  defp take_to_last(stream) do
    Enum.reduce_while(stream, [], fn transaction, done ->
      if transaction.last?,
        do: {:halt, Enum.reverse([transaction | done])},
        else: {:cont, [transaction | done]}
    end)
  end

  test "it ends with its subscriber", %{server: server, name: name} do
    test = self()

    {subscriber, monitor} =
      spawn_monitor(fn ->
        opts = [
          connection: Server.connection(server),
          slot: name,
          publication: name,
          tables: [name]
        ]

        {:ok, source} = Postgres.start_link(opts)
        Process.unlink(source)
        send(test, {:source, source})
        receive do: (:stop -> :ok)
      end)

    assert_receive {:source, source}, 5000
    source_monitor = Process.monitor(source)
    send(subscriber, :stop)
    assert_receive {:DOWN, ^monitor, _, _, _}
    assert_receive {:DOWN, ^source_monitor, _, _, :normal}, 5000
  end

  test "options are checked" do
    for opts <- [[nope: 1], [connection: [nope: 1]], [tables: 5], [tables: [5]], :nope] do
      assert {:error, %Error{code: :invalid_argument}} = Postgres.start_link(opts)
    end

    Process.flag(:trap_exit, true)

    assert {:error, %Error{code: :invalid_argument}} =
             Postgres.start_link(connection: [port: "x"])

    assert {:error, %Error{}} = Postgres.start_link(slot: "not a slot's name")
  end

  test "a wrong password ends it, a missing server is tried again", %{server: server, name: name} do
    connection = Server.connection(server)
    wrong = Keyword.put(connection, :password, "wrong")
    {:ok, source} = Postgres.start_link(connection: wrong, slot: name, publication: name)

    assert_receive {:shape_router_source, ^source,
                    {:stopped, {:error, {:source_error, message, _, _}}}},
                   10_000

    assert message =~ "password"
    nobody = Keyword.put(connection, :port, 1)
    {:ok, source} = Postgres.start_link(connection: nobody, slot: name, publication: name)

    assert_receive {:shape_router_source, ^source, {:disconnected, reason}}
                   when is_binary(reason),
                   10_000

    assert %{state: :backing_off} = Postgres.status(source)
    :ok = Postgres.stop(source)
  end
end
