defmodule ShapeRouter.RouteWalTest do
  # Bytes as a connection brings them are routed as the changes are that they tell. The bytes come from
  # a real PostgreSQL; that other bytes are read alike is a property test of the crate wal_change.
  use ExUnit.Case

  alias ShapeRouter.Demo.Server
  alias ShapeRouter.{Error, WalDecoder}

  @moduletag timeout: 120_000
  @columns [id: :int8, user_id: :int4, status: :text, body: :text, done: :bool]

  setup_all do
    server = ShapeRouter.PostgresServer.start()

    # Small, so that a transaction of some rows is streamed in blocks. A commit is flushed before it
    # returns, or the slot would not show it yet.
    Server.psql!(server, """
    ALTER SYSTEM SET logical_decoding_work_mem = '64kB';
    ALTER SYSTEM SET synchronous_commit = on;
    SELECT pg_reload_conf();
    """)

    %{server: server}
  end

  setup %{server: server, test: test} do
    name = "t#{:erlang.phash2(test)}"

    Server.psql!(server, """
    CREATE TABLE #{name} (id int8 PRIMARY KEY, user_id int4, status text, body text, done bool);
    ALTER TABLE #{name} ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE other_#{name} (id int8 PRIMARY KEY);
    CREATE PUBLICATION #{name} FOR TABLE #{name}, other_#{name};
    SELECT pg_create_logical_replication_slot('#{name}', 'pgoutput');
    """)

    on_exit(fn -> Server.psql!(server, "SELECT pg_drop_replication_slot('#{name}');") end)
    %{name: name}
  end

  # The messages of what was committed since the last call.
  defp messages(server, name, options \\ "'proto_version', '1'") do
    Server.psql!(server, """
    SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('#{name}', NULL, NULL,
      #{options}, 'publication_names', '#{name}');
    """)
    |> String.split("\n", trim: true)
    |> Enum.map(&Base.decode16!(&1, case: :lower))
  end

  defp router(name, shapes, opts \\ []) do
    opts = Keyword.merge([columns: @columns, primary_key: [:id]], opts)
    {:ok, router} = ShapeRouter.new("tenant", name, opts)
    for {id, where} <- shapes, do: :ok = ShapeRouter.add_shape(router, id, where)
    router
  end

  defp decoder(opts \\ []) do
    {:ok, decoder} = WalDecoder.new(opts)
    decoder
  end

  # Answers with the kind of each message, for those that have one.
  defp told(messages, answers) do
    assert length(messages) == length(answers)

    for {<<kind, _::binary>>, answer} when answer != nil <- Enum.zip(messages, answers),
        do: {<<kind>>, answer}
  end

  test "every kind of change is answered as route/3 does", %{server: server, name: name} do
    large = String.duplicate("x", 9000)

    Server.psql!(server, """
    INSERT INTO #{name} VALUES (1, 7, 'open', '#{large}', true);
    UPDATE #{name} SET user_id = 8;
    UPDATE #{name} SET id = 2;
    INSERT INTO other_#{name} VALUES (1);
    DELETE FROM #{name};
    TRUNCATE #{name}, other_#{name};
    """)

    shapes = [
      {1, "user_id = 7"},
      {2, "user_id = 8 AND status = 'open'"},
      {3, "length(body) = 9000"},
      {4, "id = 2"},
      {5, nil}
    ]

    router = router(name, shapes)
    messages = messages(server, name)
    row = %{"id" => "1", "user_id" => "7", "status" => "open", "body" => large, "done" => "t"}
    updated = row |> Map.delete("body") |> Map.put("user_id", "8")

    changes = [
      %{op: :insert, new_record: row},
      %{op: :update, new_record: updated},
      %{op: :update, new_record: %{updated | "id" => "2"}, old_key: 1},
      %{op: :delete, old_key: 2},
      %{op: :truncate}
    ]

    for opts <- [[], [classify: true], [old_row: :ignore]] do
      expected = for change <- changes, do: ShapeRouter.route(router, change, opts)
      told = told(messages, ShapeRouter.route_wal(router, decoder(), messages, opts))
      # Relation messages may come again; they change nothing then.
      {relations, rows} = Enum.split_with(told, &(elem(&1, 0) == "R"))
      assert Enum.all?(relations, &(&1 == {"R", []})) and relations != []
      assert Enum.map(rows, &elem(&1, 0)) == ~w(I U U D T)
      assert Enum.map(rows, &elem(&1, 1)) == expected
    end

    # One message at a time comes to the same.
    decoder = decoder()
    one_by_one = for message <- messages, do: ShapeRouter.route_wal(router, decoder, message)
    assert one_by_one == ShapeRouter.route_wal(router, decoder(), messages)
  end

  test "REPLICA IDENTITY FULL brings old rows, binary form the same values", %{
    server: server,
    name: name
  } do
    large = String.duplicate("x", 9000)

    router =
      router(name, [{1, "user_id = 7"}, {2, "user_id = 8"}, {3, "body LIKE 'xx%' AND done"}])

    script = """
    ALTER TABLE #{name} REPLICA IDENTITY FULL;
    INSERT INTO #{name} VALUES (1, 7, 'open', '#{large}', true);
    UPDATE #{name} SET user_id = 8;
    DELETE FROM #{name};
    """

    expected = [
      {"R", []},
      {"I", [{1, :insert}, {3, :insert}]},
      {"U", [{1, :delete}, {2, :insert}, {3, :update}]},
      {"D", [{2, :delete}, {3, :delete}]}
    ]

    for options <- ["'proto_version', '1'", "'proto_version', '2', 'binary', 'true'"] do
      Server.psql!(server, script)
      messages = messages(server, name, options)
      answers = ShapeRouter.route_wal(router, decoder(protocol: 2), messages, classify: true)
      assert told(messages, answers) == expected
    end
  end

  test "a transaction that is streamed while in progress", %{server: server, name: name} do
    router = router(name, [{1, "user_id = 7"}, {2, "body LIKE 'y%'"}])

    Server.psql!(server, """
    INSERT INTO #{name} SELECT i, i % 10, 'open', repeat('y', 100), false FROM generate_series(1, 3000) i;
    """)

    messages = messages(server, name, "'proto_version', '2', 'streaming', 'on'")
    assert ["S" | _] = kinds = for(<<kind, _::binary>> <- messages, do: <<kind>>)
    assert "E" in kinds and List.last(kinds) == "c"
    answers = ShapeRouter.route_wal(router, decoder(protocol: 2, streaming: :on), messages)
    rows = for {"I", ids} <- told(messages, answers), do: ids
    assert length(rows) == 3000
    assert Enum.count(rows, &(&1 == [1, 2])) == 300
    assert Enum.count(rows, &(&1 == [2])) == 2700

    # Where it commits is only told at its end.
    decoder = decoder(protocol: 2, streaming: :on)

    assert {:error, %Error{code: :out_of_place} = error} =
             ShapeRouter.route_wal_txn(router, decoder, messages)

    assert Exception.message(error) =~ "message 0: unexpected `Stream Start` message"
    decoder = decoder(protocol: 2, streaming: :on)

    answers =
      ShapeRouter.route_wal_txn(router, decoder, messages, lsn: commit_lsn(List.last(messages)))

    assert 3000 == Enum.count(told(messages, answers), &match?({"I", [_ | _]}, &1))
  end

  defp commit_lsn(<<?C, _flags, lsn::64, _::binary>>), do: lsn
  defp commit_lsn(<<?c, _xid::32, _flags, lsn::64, _::binary>>), do: lsn

  test "transactions are staged and acknowledged as those of route_txn/3", %{
    server: server,
    name: name
  } do
    {wal, plain} = {router(name, []), router(name, [])}

    for router <- [wal, plain],
        do: :ok = ShapeRouter.add_shape(router, 1, "user_id = 7", [])

    decoder = decoder()

    steps = [
      {"INSERT INTO #{name} VALUES (1, 7, 'a', 'b', true), (2, 7, 'a', 'b', true)",
       [
         %{op: :insert, new_record: %{"id" => "1", "user_id" => "7"}},
         %{op: :insert, new_record: %{"id" => "2", "user_id" => "7"}}
       ]},
      {"UPDATE #{name} SET user_id = 9 WHERE id = 1",
       [%{op: :update, new_record: %{"id" => "1", "user_id" => "9"}}]},
      {"DELETE FROM #{name}", [%{op: :delete, old_key: 1}, %{op: :delete, old_key: 2}]}
    ]

    expected_ops = [[[{1, :insert}], [{1, :insert}]], [[{1, :delete}]], [[], [{1, :delete}]]]

    for {{sql, changes}, expected} <- Enum.zip(steps, expected_ops) do
      Server.psql!(server, sql)
      messages = messages(server, name)
      lsn = commit_lsn(List.last(messages))
      answers = ShapeRouter.route_wal_txn(wal, decoder, messages)
      rows = for {kind, ops} <- told(messages, answers), kind != "R", do: ops
      assert Enum.sort(rows) == Enum.sort(expected)
      # Again before it is acknowledged: the stage is dropped, the answer the same.
      assert ShapeRouter.route_wal_txn(wal, decoder, messages) == answers
      ShapeRouter.route_txn(plain, lsn, changes)
      for router <- [wal, plain], do: :ok = ShapeRouter.ack(router, lsn)

      for counter <- ["membership_keys", "acked_lsn", "staged_transactions"],
          do: assert(ShapeRouter.metrics(wal)[counter] == ShapeRouter.metrics(plain)[counter])
    end
  end

  test "several routers are asked in one go, each message once", %{server: server, name: name} do
    todos = router(name, [{1, "user_id = 7"}, {2, nil}])
    others = router("other_" <> name, [{3, nil}], columns: [id: :int8])

    Server.psql!(server, """
    BEGIN;
    INSERT INTO #{name} VALUES (1, 7, 'a', 'b', true);
    INSERT INTO other_#{name} VALUES (5);
    TRUNCATE #{name}, other_#{name};
    COMMIT;
    """)

    messages = messages(server, name)
    answers = ShapeRouter.route_wal(%{b: others, a: todos}, decoder(), messages)

    rows =
      for {<<kind, _::binary>>, answer} when kind in ~c"ITD" <- Enum.zip(messages, answers),
          do: answer

    assert rows == [[a: [1, 2]], [b: [3]], [a: [1, 2], b: [3]]]
    assert hd(answers) == []

    txn = ShapeRouter.route_wal_txn([{"x", todos}, {"y", others}], decoder(), messages)
    assert [{"x", [{1, :truncate}, {2, :truncate}]}, {"y", [{3, :truncate}]}] in txn

    for router <- [todos, others],
        do: assert(ShapeRouter.metrics(router)["staged_transactions"] == 1)
  end

  test "a column that goes makes its shapes be in everything", %{server: server, name: name} do
    router = router(name, [{1, "user_id = 7"}, {2, "status = 'a'"}])
    decoder = decoder()
    Server.psql!(server, "INSERT INTO #{name} VALUES (1, 1, 'a', 'b', true);")
    ShapeRouter.route_wal(router, decoder, messages(server, name))

    Server.psql!(server, """
    ALTER TABLE #{name} DROP COLUMN user_id;
    INSERT INTO #{name} VALUES (2, 'b', 'b', true);
    INSERT INTO #{name} VALUES (3, 'a', 'b', true);
    """)

    messages = messages(server, name)
    told = told(messages, ShapeRouter.route_wal(router, decoder, messages))
    # Electric's rule: a table that changed concerns all of its shapes.
    assert [{"R", [1, 2]}, {"I", [1]}, {"I", [1, 2]}] = told
    assert ShapeRouter.explain(router, 1).filed == :stale
  end

  test "an answer that takes several slices is whole, of one router and of named ones", %{
    server: server,
    name: name
  } do
    shapes = 60_000
    router = router(name, [])
    :ok = ShapeRouter.add_shapes(router, for(id <- 1..shapes, do: {id, "user_id = 7"}))

    Server.psql!(
      server,
      "INSERT INTO #{name} SELECT i, i, 'a', 'b', true FROM generate_series(6, 8) i;"
    )

    messages = messages(server, name)
    all = Enum.to_list(1..shapes)
    rows = fn answers -> for {"I", ids} <- told(messages, answers), do: ids end
    assert rows.(ShapeRouter.route_wal(router, decoder(), messages)) == [[], all, []]
    named = rows.(ShapeRouter.route_wal(%{t: router}, decoder(), messages))
    assert named == [[t: []], [t: all], [t: []]]
    ops = for id <- all, do: {id, :insert}
    assert rows.(ShapeRouter.route_wal_txn(router, decoder(), messages)) == [[], ops, []]

    assert rows.(ShapeRouter.route_wal_txn(%{t: router}, decoder(), messages)) == [
             [t: []],
             [t: ops],
             [t: []]
           ]

    assert ShapeRouter.metrics(router)["continuations"] > 3
  end

  describe "what cannot be read" do
    @relation <<?R, 16385::32, "public", 0, "todos", 0, ?d, 1::16, 1, "user_id", 0, 20::32,
                -1::32>>
    @insert <<?I, 16385::32, ?N, 1::16, ?t, 3::32, "123">>
    @start <<?B, 10::64, 0::64, 5::32>>
    @commit <<?C, 0, 10::64, 11::64, 0::64>>

    setup do
      %{
        router:
          router("todos", [{1, "user_id = 123"}], columns: [user_id: :int8], primary_key: [])
      }
    end

    test "is refused by message and byte", %{router: router} do
      cut = binary_part(@insert, 0, 13)
      assert {:error, error} = ShapeRouter.route_wal(router, decoder(), [@relation, cut])
      assert %Error{code: :malformed_message, position: 13} = error
      assert Exception.message(error) =~ "message 1: malformed `I` message at byte 13"

      assert {:error, %Error{code: :malformed_message, position: 0}} =
               ShapeRouter.route_wal(router, decoder(), [<<?Z>>])

      assert {:error, %Error{code: :unknown_relation}} =
               ShapeRouter.route_wal(router, decoder(), [@insert])

      assert {:error, %Error{code: :invalid_argument}} =
               ShapeRouter.route_wal(router, decoder(), [:no_binary])

      assert {:error, %Error{code: :invalid_argument}} =
               ShapeRouter.route_wal([:no_router], decoder(), [@insert])
    end

    test "options are checked", %{router: router} do
      for opts <- [
            [protocol: 0],
            [protocol: 5],
            [protocol: 1, streaming: :on],
            [streaming: true],
            [x: 1]
          ],
          do: assert({:error, %Error{code: :invalid_argument}} = WalDecoder.new(opts))

      assert {:error, %Error{code: :invalid_argument}} =
               ShapeRouter.route_wal(router, decoder(), [], classified: true)

      assert {:error, %Error{code: :invalid_argument}} =
               ShapeRouter.route_wal_txn(router, decoder(), [], lsn: -1)
    end

    test "a transaction must be one, and whole", %{router: router} do
      txn = fn messages, opts -> ShapeRouter.route_wal_txn(router, decoder(), messages, opts) end
      assert [nil, [], [{1, :insert}], nil] = txn.([@start, @relation, @insert, @commit], [])
      assert [[], [{1, :insert}]] = txn.([@relation, @insert], lsn: {20, 0})

      out_of_place = fn messages, opts ->
        assert {:error, %Error{code: :out_of_place}} = txn.(messages, opts)
      end

      out_of_place.([@relation], [])
      out_of_place.([@start, @relation, @insert], [])
      out_of_place.([@start, @start], [])
      out_of_place.([@start, @commit, @start], [])
      out_of_place.([@commit], [])
      out_of_place.([@start, @commit], lsn: 11)
    end

    test "a closed router answers nobody", %{router: router} do
      :ok = ShapeRouter.close(router)

      assert {:error, %Error{code: :closed}} =
               ShapeRouter.route_wal(router, decoder(), [@relation, @insert])
    end
  end
end
