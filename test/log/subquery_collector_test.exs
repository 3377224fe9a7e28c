defmodule ShapeRouter.SubqueryCollectorTest do
  @moduledoc """
  Shapes whose clause has a subquery: what their logs say, when rows move in and out because another table
  changed, over crashes, large transactions, truncations, and everything that cannot go on.
  """
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, Transaction, TruncatedRelation}
  alias ShapeRouter.Changes.UpdatedRecord
  alias ShapeRouter.{Error, ShapeLogCollector, WholeLog}

  @moduletag :tmp_dir
  @projects {"public", "projects"}
  @todos {"public", "todos"}
  @tables [
    {"projects", columns: [id: :int8, owner: :int8], primary_key: [:id]},
    {"todos", columns: [id: :int8, project: :int8, title: :text], primary_key: [:id]},
    {"notes", columns: [id: :int8, body: :text]}
  ]
  @mine "project IN (SELECT id FROM projects WHERE owner = 5)"

  defp project(id, owner), do: %{"id" => "#{id}", "owner" => "#{owner}"}

  defp todo(id, project, title),
    do: %{"id" => "#{id}", "project" => "#{project}", "title" => title}

  defp insert(relation, row), do: %NewRecord{relation: relation, record: row}

  defp update(relation, row, old_key \\ nil),
    do: %UpdatedRecord{relation: relation, record: row, old_key: old_key}

  defp delete(relation, id), do: %DeletedRecord{relation: relation, old_key: %{"id" => "#{id}"}}

  defp data(rows) do
    fn table ->
      {:ok, Map.get(rows, :snapshot), Map.get(rows, table, [])}
    end
  end

  @data %{
    @projects => [%{"id" => "1", "owner" => "5"}, %{"id" => "2", "owner" => "6"}],
    @todos => [
      %{"id" => "10", "project" => "1", "title" => "a"},
      %{"id" => "20", "project" => "2", "title" => "b"},
      %{"id" => "30", "project" => nil, "title" => "c"}
    ]
  }

  defp start(dir, opts \\ []) do
    opts = [tables: @tables, storage_dir: dir, load_rows: data(@data)] |> Keyword.merge(opts)

    start_supervised!({ShapeLogCollector, opts}, id: make_ref())
    |> tap(&Process.put(:collector, &1))
  end

  defp crash(collector) do
    # As it is: nothing is written in order.
    [id] = for {id, ^collector, _, _} <- children(), do: id
    Process.unlink(collector)
    ref = Process.monitor(collector)
    Process.exit(collector, :kill)
    assert_receive {:DOWN, ^ref, _, _, _}, 10_000
    _ = stop_supervised(id)
    :ok
  end

  defp children do
    {:ok, supervisor} = ExUnit.fetch_test_supervisor()
    Supervisor.which_children(supervisor)
  end

  defp commit(collector, lsn, changes, opts \\ []),
    do:
      ShapeLogCollector.handle_transaction(
        collector,
        struct(Transaction, [lsn: lsn, changes: changes] ++ opts)
      )

  defp add(collector, id, where, opts \\ []),
    do: ShapeLogCollector.add_shape(collector, id, {"todos", where}, opts)

  defp logged(collector, id) do
    {:ok, %{log: log}} = ShapeLogCollector.shape(collector, id)
    WholeLog.messages(log)
  end

  # `{operation, id, lsn}`.
  defp told(collector, id) do
    for %{"headers" => headers, "value" => value} <- logged(collector, id),
        do: {headers["operation"], value["id"], headers["lsn"]}
  end

  # What a client that takes every message at its word ends with.
  defp held(collector, id) do
    Enum.reduce(logged(collector, id), {%{}, {0, 0}}, fn message, {rows, last} ->
      headers = message["headers"]
      at = {String.to_integer(headers["lsn"]), headers["op_position"]}
      assert at > last or at == {0, 0}
      row = message["value"]

      rows =
        case headers["operation"] do
          "insert" ->
            refute is_map_key(rows, row["id"])
            Map.put(rows, row["id"], row)

          "update" ->
            assert is_map_key(rows, row["id"])
            Map.update!(rows, row["id"], &Map.merge(&1, row))

          "delete" ->
            assert is_map_key(rows, row["id"])
            Map.delete(rows, row["id"])
        end

      {rows, at}
    end)
    |> elem(0)
  end

  test "a shape begins with its rows; they move in and out as the other table changes", %{
    tmp_dir: dir
  } do
    collector = start(dir)
    :ok = add(collector, 1, @mine, descriptor: :mine)

    :ok =
      add(collector, 2, "project NOT IN (SELECT id FROM projects WHERE owner = 5) OR title = 'c'")

    assert {:ok, %{where: @mine, descriptor: :mine} = shape} =
             ShapeLogCollector.shape(collector, 1)

    refute is_map_key(shape, :view)
    assert ShapeLogCollector.shapes(collector) == [1, 2]
    assert told(collector, 1) == [{"insert", "10", "0"}]
    assert Enum.sort(told(collector, 2)) == [{"insert", "20", "0"}, {"insert", "30", "0"}]
    :ok = ShapeLogCollector.subscribe(collector, 1)
    :ok = ShapeLogCollector.subscribe(collector, :all)

    # Nothing of todos changes.
    :ok = commit(collector, 100, [update(@projects, project(2, 5))])
    assert told(collector, 1) == [{"insert", "10", "0"}, {"insert", "20", "100"}]
    assert held(collector, 2) |> Map.keys() == ["30"]

    assert_receive {:shape_router, 1,
                    [%{op: :insert, change: %NewRecord{record: %{"title" => "b"}}}]}

    assert_receive {:shape_router, 2, [%{op: :delete}]}
    # A transaction of both tables is one step: what belongs neither before nor after is not told.
    :ok =
      commit(collector, 200, [
        insert(@todos, todo(40, 3, "d")),
        insert(@projects, project(3, 5)),
        update(@todos, todo(10, 1, "aa")),
        insert(@todos, todo(50, 1, "e")),
        delete(@todos, 50),
        delete(@projects, 1)
      ])

    assert [
             {"insert", "10", "0"},
             {"insert", "20", "100"},
             {"delete", "10", "200"},
             {"insert", "40", "200"}
           ] = told(collector, 1)

    assert held(collector, 2)["10"] == todo(10, 1, "aa")
    # Nobody hears of the collector's own logs.
    refute_received {:shape_router, 0xFFFF_FFFF_0000_0000, _}
    refute_received {:shape_router, 0xFFFF_FFFF_0000_0001, _}
    assert ShapeLogCollector.durable_lsn(collector) == 200
    :ok = ShapeLogCollector.remove_shape(collector, 1)
    assert {:error, %Error{code: :unknown_shape}} = ShapeLogCollector.shape(collector, 1)
    :ok = commit(collector, 300, [update(@projects, project(3, 6))])
    assert held(collector, 2) |> Map.keys() == ["10", "30", "40"]
  end

  test "columns that are left out, other keys, and truncations", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, @mine)
    # The large column did not change; a row that moves in has it none the less.
    :ok = commit(collector, 100, [update(@todos, Map.delete(todo(20, 1, ""), "title"))])
    assert held(collector, 1)["20"] == todo(20, 1, "b")
    # Another key, and the large column still not told.
    without = Map.delete(todo(21, 1, ""), "title")
    :ok = commit(collector, 200, [update(@todos, without, %{"id" => "20"})])
    assert held(collector, 1) == %{"10" => todo(10, 1, "a"), "21" => todo(21, 1, "b")}
    # The same within one transaction that brings the value first.
    :ok =
      commit(collector, 300, [
        insert(@todos, todo(60, 2, "fresh")),
        update(@todos, Map.delete(todo(61, 2, ""), "title"), %{"id" => "60"}),
        update(@todos, Map.delete(todo(62, 1, ""), "title"), %{"id" => "61"})
      ])

    assert held(collector, 1)["62"] == todo(62, 1, "fresh")
    crash(collector)
    collector = start(dir, load_rows: fn _ -> flunk("it is in the logs") end)
    :ok = commit(collector, 400, [update(@projects, project(2, 5))])
    assert held(collector, 1) |> Map.keys() == ["10", "21", "62"]

    # What was there goes, what comes after it stays; and nothing of a table that is truncated twice.
    :ok =
      commit(collector, 500, [
        insert(@todos, todo(70, 1, "x")),
        delete(@todos, 10),
        %TruncatedRelation{relation: @todos},
        insert(@todos, todo(10, 1, "again")),
        %TruncatedRelation{relation: @todos},
        insert(@todos, todo(21, 1, "kept"))
      ])

    assert held(collector, 1) == %{"21" => todo(21, 1, "kept")}
    :ok = commit(collector, 600, [%TruncatedRelation{relation: @projects}])
    assert held(collector, 1) == %{}
    crash(collector)
    collector = start(dir)
    :ok = commit(collector, 700, [insert(@projects, project(1, 5))])
    assert held(collector, 1) == %{"21" => todo(21, 1, "kept")}
  end

  test "after a crash it stands where the logs do, and what comes again changes nothing", %{
    tmp_dir: dir
  } do
    collector = start(dir)
    :ok = add(collector, 1, @mine)
    :ok = add(collector, 2, "project IN (SELECT id FROM projects WHERE owner = $1)", params: [6])

    first = fn collector ->
      :ok =
        commit(collector, 100, [
          update(@projects, project(2, 5)),
          insert(@projects, project(3, 6))
        ])
    end

    second = fn collector ->
      :ok = commit(collector, 200, [insert(@todos, todo(40, 3, "d")), delete(@todos, 10)])
    end

    first.(collector)
    second.(collector)
    before = {logged(collector, 1), logged(collector, 2)}

    for _ <- 1..3, reduce: collector do
      collector ->
        crash(collector)
        collector = start(dir, load_rows: fn _ -> flunk("it is in the logs") end)
        assert ShapeLogCollector.shapes(collector) == [1, 2]
        first.(collector)
        second.(collector)
        assert {logged(collector, 1), logged(collector, 2)} == before
        collector
    end

    collector = Process.get(:collector)
    :ok = commit(collector, 300, [update(@projects, project(3, 5))])
    assert held(collector, 1) == %{"20" => todo(20, 2, "b"), "40" => todo(40, 3, "d")}
    assert held(collector, 2) == %{}
    # With the last shape its tables go too.
    :ok = ShapeLogCollector.remove_shape(collector, 1)
    :ok = ShapeLogCollector.remove_shape(collector, 2)
    crash(collector)

    collector =
      start(dir, load_rows: data(%{@projects => [project(9, 5)], @todos => [todo(90, 9, "z")]}))

    assert ShapeLogCollector.shapes(collector) == []
    :ok = add(collector, 1, @mine)
    assert held(collector, 1) == %{"90" => todo(90, 9, "z")}
  end

  test "after a restart further tables come in beside those that are there", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, "project IN (SELECT project FROM todos WHERE title = 'a')")
    :ok = commit(collector, 100, [insert(@todos, todo(11, 1, "n"))])
    crash(collector)
    collector = start(dir)
    :ok = add(collector, 2, @mine)
    assert held(collector, 2) |> Map.keys() == ["10", "11"]
    :ok = commit(collector, 200, [update(@projects, project(2, 5)), delete(@todos, 10)])
    crash(collector)
    collector = start(dir, load_rows: fn _ -> flunk("it is in the logs") end)
    assert held(collector, 1) == %{}
    assert held(collector, 2) |> Map.keys() == ["11", "20"]
    :ok = commit(collector, 300, [delete(@projects, 1), insert(@todos, todo(12, 2, "a"))])
    assert held(collector, 1) |> Map.keys() == ["12", "20"]
    assert held(collector, 2) |> Map.keys() == ["12", "20"]
  end

  test "a large transaction is one, however it comes", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, @mine)
    :ok = ShapeLogCollector.subscribe(collector, 1)

    fragment = fn collector, number, last?, changes ->
      commit(collector, 100, changes, fragment: number, last?: last?)
    end

    :ok =
      fragment.(collector, 0, false, [
        update(@projects, project(2, 5)),
        insert(@todos, todo(40, 2, "d"))
      ])

    :ok = fragment.(collector, 1, false, [update(@todos, todo(40, 1, "dd"))])
    assert told(collector, 1) == [{"insert", "10", "0"}]
    refute_received {:shape_router, _, _}
    # The connection was lost: it comes from its beginning.
    :ok =
      fragment.(collector, 0, false, [
        update(@projects, project(2, 5)),
        insert(@todos, todo(40, 2, "d"))
      ])

    :ok = fragment.(collector, 1, false, [update(@todos, todo(40, 1, "dd"))])
    crash(collector)
    collector = start(dir)
    :ok = ShapeLogCollector.subscribe(collector, 1)
    assert told(collector, 1) == [{"insert", "10", "0"}]

    :ok =
      fragment.(collector, 0, false, [
        update(@projects, project(2, 5)),
        insert(@todos, todo(40, 2, "d"))
      ])

    :ok = fragment.(collector, 1, false, [update(@todos, todo(40, 1, "dd"))])
    :ok = fragment.(collector, 2, true, [delete(@todos, 10)])

    assert [
             {"insert", "10", "0"},
             {"delete", "10", "100"},
             {"insert", a, "100"},
             {"insert", b, "100"}
           ] = told(collector, 1)

    assert Enum.sort([a, b]) == ["20", "40"]
    assert_receive {:shape_router, 1, [_, _, _]}
    assert held(collector, 1)["40"] == todo(40, 1, "dd")
    crash(collector)
    collector = start(dir)
    :ok = commit(collector, 200, [update(@projects, project(1, 6))])
    assert held(collector, 1) |> Map.keys() == ["20"]
  end

  test "a large transaction that comes anew is taken as it comes then", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, @mine)

    # The connection is lost after the first fragment, twice: nothing of it is there when it comes again.
    for _ <- 1..3 do
      first = [update(@projects, project(2, 5)), insert(@todos, todo(40, 2, "d"))]
      :ok = commit(collector, 100, first, fragment: 0, last?: false)
    end

    :ok = commit(collector, 100, [delete(@todos, 10)], fragment: 1, last?: true)
    assert ShapeLogCollector.shapes(collector) == [1]
    assert held(collector, 1) |> Map.keys() == ["20", "40"]
  end

  test "of a transaction that is refused nothing is left, in the circuit neither", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, @mine)
    :ok = ShapeLogCollector.add_shape(collector, 2, {"notes", nil})
    moved = [update(@projects, project(1, 6)), update(@projects, project(2, 5))]
    # No log can hold it, and the views have moved already.
    note = insert({"public", "notes"}, %{"id" => "2", "body" => <<255>>})
    assert {:error, %Error{}} = commit(collector, 100, moved ++ [note])
    assert held(collector, 1) |> Map.keys() == ["10"]
    # It comes again, and can be taken now.
    :ok = commit(collector, 100, moved)
    assert held(collector, 1) |> Map.keys() == ["20"]

    assert [{"delete", "10", _}, {"insert", "20", _}] =
             collector |> told(1) |> Enum.drop(1) |> Enum.sort()

    crash(collector)
    assert held(start(dir), 1) |> Map.keys() == ["20"]
  end

  test "rows are spliced in by what their snapshot shows", %{tmp_dir: dir} do
    snapshot = {1000, 1010, [1003], 500}
    collector = start(dir, load_rows: data(Map.put(@data, :snapshot, snapshot)))
    # Before the shape: nothing of these is in the circuit yet, and the snapshot shows it.
    :ok = commit(collector, 100, [insert(@todos, todo(10, 1, "a"))], xid: 999)
    :ok = add(collector, 1, @mine)
    assert told(collector, 1) == [{"insert", "10", "0"}]
    # Shown already: by its number, and by being over.
    :ok = commit(collector, 200, [insert(@projects, project(1, 5))], xid: 998)
    :ok = commit(collector, 210, [insert(@todos, todo(20, 2, "b"))], xid: 1005)
    # Not shown: it ran; it began later.
    :ok = commit(collector, 300, [update(@projects, project(2, 5))], xid: 1003)
    assert held(collector, 1) |> Map.keys() == ["10", "20"]
    crash(collector)
    collector = start(dir)
    :ok = commit(collector, 310, [insert(@todos, todo(30, 2, "b"))], xid: 1006)
    :ok = commit(collector, 320, [delete(@todos, 10)], xid: 1010)
    assert held(collector, 1) |> Map.keys() == ["20"]
    # Long after, numbers begin anew: it is not taken for one of then.
    :ok = commit(collector, 600, [insert(@todos, todo(40, 1, "d"))], xid: 900)
    assert held(collector, 1) |> Map.keys() == ["20", "40"]
  end

  test "a snapshot that does not show what was handled is taken anew", %{tmp_dir: dir} do
    test = self()
    asked = :counters.new(1, [])

    load_rows = fn table ->
      :counters.add(asked, 1, 1)
      send(test, {:asked, table})
      # The first ones were taken while transaction 77 was not visible yet.
      xip = if :counters.get(asked, 1) <= 2, do: [77], else: []
      {:ok, {70, 80, xip}, @data[table]}
    end

    collector = start(dir, load_rows: load_rows)
    :ok = commit(collector, 100, [insert(@todos, todo(10, 1, "a"))], xid: 77)
    :ok = add(collector, 1, @mine)
    assert :counters.get(asked, 1) == 4
    assert held(collector, 1) == %{"10" => todo(10, 1, "a")}
  end

  test "what cannot be a shape is refused by name, and nothing is left of it", %{tmp_dir: dir} do
    collector = start(dir)

    refused = fn where, opts ->
      assert {:error, %Error{} = error} = add(collector, 1, where, opts)
      {error.code, error.position}
    end

    # Where it stands in the clause, not in the query that is made of it.
    unknown = "project IN (SELECT id FROM projects WHERE nope = 5)"
    {at, _} = :binary.match(unknown, "nope")
    assert {:unknown_column, ^at} = refused.(unknown, [])
    assert {:unknown_table, _} = refused.("project IN (SELECT id FROM nowhere)", [])
    # It has no primary key, so there is none of that name for subqueries.
    assert {:unknown_table, _} = refused.("title IN (SELECT body FROM notes)", [])
    assert {:syntax_error, _} = refused.("project IN (SELECT id FROM projects", [])
    assert {:syntax_error, _} = refused.("project IN (SELECT id FROM projects) ORDER BY id", [])

    assert {:syntax_error, _} =
             refused.("project IN (SELECT id FROM projects) UNION SELECT 1", [])

    assert {:syntax_error, _} = refused.("project IN (SELECT id FROM projects); SELECT 1", [])
    assert {:invalid_argument, nil} = refused.(@mine, rows: [])
    assert {:invalid_argument, nil} = refused.(@mine, keys: [])
    assert {:error, %Error{code: :invalid_argument}} = add_id(collector, 0xFFFF_FFFF_0000_0000)

    # All or none, also beside shapes without subqueries.
    assert {:error, %Error{code: :unknown_table}} =
             ShapeLogCollector.add_shapes(collector, [
               {1, {"todos", @mine}},
               {2, {"todos", "title = 'select'"}, keys: []},
               {3, {"todos", "project IN (SELECT id FROM nowhere)"}}
             ])

    assert ShapeLogCollector.shapes(collector) == []
    failing = start(Path.join(dir, "failing"), load_rows: fn _ -> {:error, :nobody_there} end)
    assert {:error, %Error{code: :load_rows_failed, message: message}} = add(failing, 1, @mine)
    assert message =~ "nobody_there"
    none = start(Path.join(dir, "none"), load_rows: :source)
    assert {:error, %Error{code: :load_rows_failed, message: message}} = add(none, 1, @mine)
    assert message =~ "load_rows"

    # Rows that end in the middle leave nothing behind.
    broken =
      Stream.map(1..3, fn n ->
        if n < 3, do: project(n, 5), else: raise(%Error{code: :source_error, message: "lost"})
      end)

    loads = :counters.new(1, [])

    load_rows = fn table ->
      :counters.add(loads, 1, 1)

      {:ok, nil,
       if(table == @projects and :counters.get(loads, 1) == 1, do: broken, else: @data[table])}
    end

    lost = start(Path.join(dir, "lost"), load_rows: load_rows)
    assert {:error, %Error{code: :source_error, message: "lost"}} = add(lost, 1, @mine)
    :ok = add(lost, 1, @mine)
    assert told(lost, 1) == [{"insert", "10", "0"}]
    # A text that only looks like a subquery is a text.
    :ok = add(collector, 4, "title = 'select'", keys: [])
    :ok = commit(collector, 100, [insert(@todos, todo(80, 1, "select"))])
    assert told(collector, 4) == [{"insert", "80", "100"}]
  end

  defp add_id(collector, id), do: add(collector, id, "title = 'x'")

  test "a clause that raises goes by itself, a table that was altered with its shapes", %{
    tmp_dir: dir
  } do
    collector = start(dir)
    :ok = add(collector, 1, "project IN (SELECT 10 / owner FROM projects)")
    :ok = add(collector, 2, @mine)
    :ok = ShapeLogCollector.add_shape(collector, 3, {"todos", "title = 'z'"}, keys: [])
    waiting = Task.async(fn -> ShapeLogCollector.await(collector, 1, {1_000, 0}, 5_000) end)

    log =
      capture_log(fn ->
        :ok =
          commit(collector, 100, [
            update(@projects, project(1, 0)),
            update(@projects, project(2, 5))
          ])
      end)

    assert log =~ "shape 1 is removed" and log =~ "division by zero"
    assert Task.await(waiting) == :removed
    assert ShapeLogCollector.shapes(collector) == [2, 3]
    assert held(collector, 2) |> Map.keys() == ["20"]
    crash(collector)
    collector = start(dir)
    assert ShapeLogCollector.shapes(collector) == [2, 3]

    columns = [
      %{name: "id", type_oid: 20, typmod: -1, key?: true},
      %{name: "owner", type_oid: 20, typmod: -1, key?: false}
    ]

    relation = fn columns ->
      %Relation{id: 7, schema: "public", table: "projects", columns: columns}
    end

    # As it is, and with a column that nobody asked for.
    :ok = commit(collector, 200, [relation.(columns)])
    more = columns ++ [%{name: "more", type_oid: 25, typmod: -1, key?: false}]

    :ok =
      commit(collector, 210, [
        relation.(more),
        insert(@projects, Map.put(project(4, 5), "more", "x"))
      ])

    assert ShapeLogCollector.shapes(collector) == [2, 3]
    retyped = [hd(columns), %{name: "owner", type_oid: 25, typmod: -1, key?: false}]

    log =
      capture_log(fn ->
        :ok =
          commit(collector, 300, [
            relation.(retyped),
            insert(@projects, project(5, 5)),
            insert(@todos, todo(99, 2, "z"))
          ])
      end)

    assert log =~ "shape 2 is removed" and log =~ "owner has another type"
    assert ShapeLogCollector.shapes(collector) == [3]
    assert {:error, %Error{code: :mismatch}} = add(collector, 2, @mine)
    # The others go on.
    :ok = commit(collector, 400, [insert(@todos, todo(98, 2, "z"))])
    assert told(collector, 3) == [{"insert", "99", "300"}, {"insert", "98", "400"}]
    crash(collector)
    collector = start(dir)
    assert ShapeLogCollector.shapes(collector) == [3]
    :ok = add(collector, 2, @mine)
    assert told(collector, 2) == [{"insert", "10", "0"}]
  end

  test "what the table does not fit goes alone", %{tmp_dir: dir} do
    collector = start(dir)
    :ok = add(collector, 1, @mine)
    :ok = add(collector, 2, "project IN (SELECT project FROM todos WHERE title = 'a')")

    log =
      capture_log(fn ->
        :ok =
          commit(collector, 100, [
            update(@projects, project(77, 5)),
            insert(@todos, todo(11, 1, "n"))
          ])
      end)

    assert log =~ "shape 1 is removed" and log =~ "no row"
    assert ShapeLogCollector.shapes(collector) == [2]
    assert held(collector, 2) |> Map.keys() == ["10", "11"]
  end

  test "without a directory the same is told", %{tmp_dir: _dir} do
    collector = start(nil)
    :ok = add(collector, 1, @mine)
    :ok = ShapeLogCollector.subscribe(collector, 1)
    :ok = commit(collector, 100, [update(@projects, project(2, 5))], fragment: 0, last?: false)
    refute_received {:shape_router, 1, _}
    :ok = commit(collector, 100, [insert(@todos, todo(40, 2, "d"))], fragment: 1, last?: true)
    assert_receive {:shape_router, 1, [%{op: :insert}, %{op: :insert}] = entries}
    assert [{100, a}, {100, b}] = Enum.map(entries, & &1.offset)
    assert a < b
  end
end
