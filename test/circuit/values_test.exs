defmodule ShapeRouter.Circuit.ValuesTest do
  @moduledoc "What goes in as a value, and what comes out."
  use ExUnit.Case, async: true

  import ShapeRouter.TestCircuits

  alias ShapeRouter.{Circuit, Error}

  # Type, what goes in, what comes out.
  @values [
    {:int2, -32_768, -32_768},
    {:int4, "42", 42},
    {:int8, 9_223_372_036_854_775_807, 9_223_372_036_854_775_807},
    {:int8, "-9223372036854775808", -9_223_372_036_854_775_808},
    {:oid, 4_294_967_295, 4_294_967_295},
    {:bool, true, true},
    {:bool, "f", false},
    {:float8, 0.1, 0.1},
    {:float8, "1e308", 1.0e308},
    {:float8, 3, 3.0},
    {:float8, "NaN", "NaN"},
    {:float8, "-Infinity", "-Infinity"},
    {:float4, "0.5", 0.5},
    {:numeric, "1.500", "1.500"},
    {:numeric, 123_456_789_012_345_678_901_234_567_890, "123456789012345678901234567890"},
    {:numeric, :NaN, "NaN"},
    {{:numeric, 10, 2}, "1.00", "1.00"},
    {:text, "héllo\n", "héllo\n"},
    {:text, "", ""},
    {:text, :open, "open"},
    {{:bpchar, 4}, "ab  ", "ab  "},
    {:uuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    {:bytea, "\\x00ff", "\\x00ff"},
    {:date, ~D[2026-11-21], "2026-11-21"},
    {:time, ~T[23:59:59.5], "23:59:59.5"},
    {:timestamp, ~N[2026-11-21 10:00:00], "2026-11-21 10:00:00"},
    {:timestamptz, ~U[2026-11-21 10:00:00.25Z], "2026-11-21 10:00:00.25+00"},
    {:timestamptz, "2026-11-21 10:00:00+02", "2026-11-21 08:00:00+00"},
    {:interval, "1 day 02:00:00", "1 day 02:00:00"},
    {:jsonb, %{a: [1, nil, "x"]}, ~s({"a": [1, null, "x"]})},
    {:jsonb, [1, 2], "[1, 2]"},
    {:json, ~s({"a" : 1}), ~s({"a" : 1})},
    {{:array, :int4}, [1, nil, 3], "{1,NULL,3}"},
    {{:array, :text}, ["a b", "c\"d", "NULL"], ~S({"a b","c\"d","NULL"})},
    {{:array, :int8}, [[1, 2], [3, 4]], "{{1,2},{3,4}}"},
    {{:array, :date}, [~D[2026-01-02]], "{2026-01-02}"},
    {{:array, :jsonb}, [%{"a" => "\""}], ~S({"{\"a\": \"\\\"\"}"})},
    {{:array, :float8}, [0.1, -1.0e300], "{0.1,-1e+300}"},
    {{:array, :bool}, [true, false], "{t,f}"},
    {{:array, :int4}, [], "{}"},
    {{:enum, ["low", "high"]}, :high, "high"},
    {:int4, nil, nil}
  ]

  for {{type, given, shown}, number} <- Enum.with_index(@values) do
    test "#{number}: #{inspect(type)} #{inspect(given)}" do
      circuit = circuit(id: :int8, v: unquote(Macro.escape(type)))
      view!(circuit, 1, "SELECT v FROM t")
      given = unquote(Macro.escape(given))
      shown = unquote(Macro.escape(shown))
      [%{records: [record]}] = step!(circuit, [{:create, :t, 1, %{v: given}}])
      assert record.record == %{"v" => shown}

      assert {:ok, %{record: %{"id" => 1, "v" => ^shown}, version: 0}} =
               Circuit.row(circuit, "t", 1)

      # What came out goes in again and changes nothing.
      assert step!(circuit, [{:update, :t, 1, %{"v" => shown}}]) == []
    end
  end

  test "a Decimal, and numbers of any size" do
    decimal = %{__struct__: Decimal, sign: -1, coef: 1_050, exp: -2}
    circuit = circuit(id: :int8, v: :numeric)
    step!(circuit, [{:create, :t, 1, %{v: decimal}}])
    assert {:ok, %{record: %{"v" => "-10.50"}}} = Circuit.row(circuit, :t, 1)
    huge = Integer.pow(10, 5_000)
    step!(circuit, [{:update, :t, 1, %{v: huge}}])
    shown = Integer.to_string(huge)
    assert {:ok, %{record: %{"v" => ^shown}}} = Circuit.row(circuit, :t, 1)
  end

  test "keys of many types: an id is the key's value" do
    for {type, id, shown} <- [
          {:int8, -5, -5},
          {:text, "a", "a"},
          {:uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
          {:numeric, "1.50", "1.50"},
          {:date, ~D[2026-01-01], "2026-01-01"},
          {{:array, :int4}, [1, 2], "{1,2}"},
          {:jsonb, %{"a" => 1}, ~s({"a": 1})},
          {:bool, true, true},
          {:float8, 0.5, 0.5}
        ] do
      circuit = circuit(id: type, v: :int8)
      view!(circuit, 1, "SELECT v FROM t")

      assert [%{ids: [^shown], records: [%{id: ^shown}]}] =
               step!(circuit, [{:create, :t, id, %{v: 1}}])

      assert {:ok, %{record: %{"id" => ^shown}}} = Circuit.row(circuit, :t, id)
      assert [%{ids: []}] = step!(circuit, [{:delete, :t, id}])
    end
  end

  test "a key is the same however it is written" do
    circuit = circuit(id: :numeric, v: :int8)
    view!(circuit, 1, "SELECT v FROM t")
    step!(circuit, [{:create, :t, "1.0", %{id: "1.00", v: 1}}])
    assert Circuit.ids(circuit, 1) == {:ok, ["1.00"]}
    assert [%{records: [%{event: :updated}]}] = step!(circuit, [{:update, :t, 1, %{v: 2}}])
    assert [%{ids: []}] = step!(circuit, [{:delete, :t, "1.000"}])
  end

  test "a key of several columns is a list, or a tuple" do
    circuit = circuit()
    view!(circuit, 1, "SELECT tag FROM tags")
    tag = fn id, record -> {:create, :tags, id, record} end
    operations = [tag.([1, "b"], %{}), tag.({1, "a"}, %{tag: "a"}), tag.([0, "c"], %{})]
    assert [%{ids: [[0, "c"], [1, "a"], [1, "b"]]}] = step!(circuit, operations)

    assert {:ok, %{record: %{"todo_id" => 1, "tag" => "a"}}} =
             Circuit.row(circuit, :tags, [1, "a"])

    assert [%{ids: [[0, "c"], [1, "b"]]}] = step!(circuit, [{:delete, :tags, [1, "a"]}])
    # One value in a list is that value.
    step!(circuit, [{:create, :todos, [7], %{project_id: 1, title: "", done: false}}])
    assert {:ok, %{}} = Circuit.row(circuit, :todos, {7})
  end

  test "records have string or atom keys, of operations each its own" do
    circuit = circuit()
    view!(circuit, 1, "SELECT title FROM todos")
    record = %{"project_id" => "1", "title" => "s", "done" => "f"}
    step!(circuit, [todo(1), {:create, "todos", "2", record}, todo(3)])
    step!(circuit, [{:update, :todos, 2, %{"done" => true, title: "mixed"}}])

    assert {:ok, %{record: %{"title" => "mixed", "done" => true}}} =
             Circuit.row(circuit, :todos, 2)
  end

  test "ids of different tables never meet" do
    circuit = circuit()
    view!(circuit, :todos, "SELECT id FROM todos")
    view!(circuit, :projects, "SELECT id FROM projects")

    view!(circuit, :both, "SELECT 1 AS one FROM todos t JOIN projects p ON p.id = t.project_id")

    updates =
      step!(circuit, [todo(1), project(1, 5), todo(2), {:delete, :projects, 1}, project(1, 6)])

    assert [%{ids: [1, 2]}, %{ids: [1]}, %{ids: [[1, 1], [2, 1]]}] = updates
    [todos, both] = step!(circuit, [{:delete, :todos, 1}])
    assert {todos.view_id, todos.ids, both.ids} == {:todos, [2], [[2, 1]]}
    assert {:ok, %{}} = Circuit.row(circuit, :projects, 1)
  end

  test "64 bits are kept" do
    circuit = circuit()
    ids = [9_007_199_254_740_993, 9_007_199_254_740_992, -9_223_372_036_854_775_808]
    view!(circuit, 1, "SELECT id FROM todos")
    step!(circuit, for(id <- ids, do: todo(id)))
    assert Circuit.ids(circuit, 1) == {:ok, Enum.sort(ids)}

    assert {:error, %Error{code: :type_mismatch, sqlstate: "22003"}} =
             Circuit.step(circuit, batch([todo(9_223_372_036_854_775_808)]))
  end
end
