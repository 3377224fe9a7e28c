defmodule ShapeRouter.Filter.DifferencesTest do
  @moduledoc "The entries of docs/filter-differences.md, each with a test of its name."
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Relation, Transaction, UpdatedRecord}
  alias ShapeRouter.{Error, Filter, Shape}
  alias ShapeRouter.Filter.SubqueryIndex

  @todos {"public", "todos"}

  defp shape(where, columns, fields \\ []),
    do: struct!(%Shape{root_table: @todos, where: where, columns: columns}, fields)

  # The shapes (named by their clause) that a change concerns, in both modes.
  defp affected(clauses, columns, change, opts \\ []) do
    answers =
      for mode <- [:native, :beam] do
        filter = Filter.new([filter: mode] ++ opts)
        add = &Filter.add_shape(&2, &1, shape(&1, columns))
        clauses |> Enum.reduce(filter, add) |> Filter.affected_shapes(change)
      end

    assert [same, same] = answers
    Enum.sort(same)
  end

  defp insert(record), do: %NewRecord{relation: @todos, record: record}

  test "numbers are exact" do
    clauses = ["q = 12345678901234567890.1", "q > 12345678901234567890.1", "q + 0.2 = 0.3"]
    record = %{"q" => "12345678901234567890.2"}
    assert affected(clauses, [q: :numeric], insert(record)) == ["q > 12345678901234567890.1"]
    assert affected(clauses, [q: :numeric], insert(%{"q" => "0.1"})) == ["q + 0.2 = 0.3"]
  end

  test "equality is that of PostgreSQL's type" do
    columns = [q: :numeric, c: {:bpchar, 3}, f: :float8]
    clauses = ["c = 'a'", "f = '0'", "f = 'NaN'", "q = 1.5"]

    assert affected(clauses, columns, insert(%{"q" => "1.500", "c" => "a  ", "f" => "-0"})) ==
             ["c = 'a'", "f = '0'", "q = 1.5"]

    assert affected(clauses, columns, insert(%{"f" => "NaN"})) == ["f = 'NaN'"]
  end

  test "a value that cannot be read concerns those that read it" do
    clauses = ["length(s) = 1", "n % 2 = 1", "n = 5", "s = 'a'"]
    record = %{"n" => "five", "s" => "bc"}
    assert affected(clauses, [n: :int8, s: :text], insert(record)) == ["n % 2 = 1", "n = 5"]
  end

  test "a clause that raises on a row concerns its shape" do
    clauses = ["10 / n > 2", "n = 1 AND 10 / n > 2", "n = 7"]
    assert affected(clauses, [n: :int8], insert(%{"n" => "0"})) == ["10 / n > 2"]
  end

  test "a change without its old row concerns all who may have had it" do
    clauses = ["n = 1", "n = 2", "n IS NULL"]
    assert affected(clauses, [n: :int8], %DeletedRecord{relation: @todos}) == clauses
    update = %UpdatedRecord{relation: @todos, record: %{"n" => "3"}}
    assert affected(clauses, [n: :int8], update) == clauses
    whole = %{update | old_record: %{"n" => "2"}}
    assert affected(clauses, [n: :int8], whole) == ["n = 2"]
  end

  test "columns of the clause count in relation messages" do
    relation = %Relation{id: 7, schema: "public", table: "todos", columns: []}

    for mode <- [:native, :beam] do
      shape = shape("n = 5", [n: :int8], root_table_id: 7, selected_columns: ["id"])
      filter = Filter.new(filter: mode) |> Filter.add_shape("a", shape)
      affected = &Filter.affected_shapes(filter, %{relation | affected_columns: &1})
      assert affected.(["n"]) == MapSet.new(["a"])
      assert affected.(["id"]) == MapSet.new(["a"])
      assert affected.(["m"]) == MapSet.new()
    end
  end

  test "more clauses can be filed" do
    for clause <- ["n > 5", "s LIKE 'a%'", "n IN (1, 2) AND s ILIKE '%x%'", "n BETWEEN 1 AND 5"] do
      assert Filter.indexed_shape?(shape(clause, n: :int8, s: :text)), clause
    end
  end

  test "more clauses are understood" do
    clauses = [
      "(CASE WHEN n > 5 THEN 'big' ELSE 'small' END) = 'big'",
      "date_trunc('year', d) = '2024-01-01'",
      "j ->> 'a' = 'b'",
      "s LIKE '10!%%' ESCAPE '!'",
      "s ~ '^[0-9]+%$'"
    ]

    columns = [n: :int8, d: :timestamp, j: :jsonb, s: :text]
    record = %{"n" => "6", "d" => "2024-05-05 00:00:00", "j" => ~s({"a": "b"}), "s" => "10%"}
    assert affected(clauses, columns, insert(record)) == clauses
    assert affected(clauses, columns, insert(%{})) == []
  end

  test "a clause that is refused makes its shape concerned by everything" do
    clauses = ["d > now()", "n = 5", "EXISTS (SELECT id FROM other)"]

    log =
      capture_log(fn ->
        assert affected(clauses, [n: :int8, d: :timestamptz], insert(%{"n" => "6"})) ==
                 ["d > now()", "EXISTS (SELECT id FROM other)"]
      end)

    assert log =~ "its clause is refused"
  end

  test "an enum without labels is a text" do
    where = %{query: "mood = 'ok' OR mood > 'ok'", used_refs: %{["mood"] => {:enum, "mood"}}}
    labels = %{@todos => [mood: {:enum, ["sad", "ok", "happy"]}]}

    for {opts, found} <- [{[], ["ok", "sad"]}, {[columns: labels], ["happy", "ok"]}],
        mode <- [:native, :beam] do
      filter = Filter.new([filter: mode] ++ opts)
      filter = Filter.add_shape(filter, "a", %Shape{root_table: @todos, where: where})

      assert found ==
               for(
                 mood <- ["happy", "ok", "sad"],
                 "a" in Filter.affected_shapes(filter, insert(%{"mood" => mood})),
                 do: mood
               )
    end
  end

  test "errors have a type" do
    for mode <- [:native, :beam] do
      filter = Filter.new(filter: mode) |> Filter.add_shape("a", shape(nil, []))
      error = assert_raise Error, fn -> Filter.add_shape(filter, "a", shape(nil, [])) end
      assert error.code == :duplicate_shape
      error = assert_raise Error, fn -> Filter.remove_shape(filter, "b") end
      assert error.code == :unknown_shape
    end
  end

  test "a transaction is a change too" do
    changes = [insert(%{"n" => "1"}), insert(%{"n" => "2"})]
    clauses = ["n = 1", "n = 2", "n = 3"]

    assert affected(clauses, [n: :int8], %Transaction{changes: changes, lsn: 1}) ==
             ["n = 1", "n = 2"]
  end

  test "any process may ask" do
    for mode <- [:native, :beam] do
      filter = Filter.new(filter: mode) |> Filter.add_shape("a", shape("n = 1", n: :int8))
      ask = fn -> Filter.affected_shapes(filter, insert(%{"n" => "1"})) end
      assert ask |> Task.async() |> Task.await() == MapSet.new(["a"])
    end
  end

  @ref ["$sublink", "0"]

  defp subqueries(mode) do
    filter =
      for {id, negation} <- [{"a", ""}, {"b", ""}, {"n", "NOT "}],
          reduce: Filter.new(filter: mode) do
        filter ->
          clause = "n #{negation}IN (SELECT id FROM other)"
          Filter.add_shape(filter, id, shape(clause, n: :int8))
      end

    {filter, Filter.subquery_index(filter)}
  end

  defp seed(index, values) do
    for id <- ["a", "b", "n"] do
      :ok = SubqueryIndex.seed_membership(index, id, @ref, 0, MapSet.new(values))
      :ok = SubqueryIndex.mark_ready(index, id)
    end
  end

  test "what consumers say of subqueries is shared" do
    {filter, index} = subqueries(:native)
    seed(index, [1])
    SubqueryIndex.add_value(index, "a", @ref, 0, 2)
    found = for n <- 1..3, do: Filter.affected_shapes(filter, insert(%{"n" => "#{n}"}))
    assert Enum.map(found, &Enum.sort/1) == [["a", "b"], ["a", "b", "n"], ["n"]]
    members = for id <- ["a", "b", "n"], do: SubqueryIndex.member?(index, id, @ref, 2)
    assert members == [true, false, false]
    for id <- ["b", "n"], do: SubqueryIndex.add_value(index, id, @ref, 0, 2)
    assert Filter.affected_shapes(filter, insert(%{"n" => "2"})) == MapSet.new(["a", "b"])
  end

  test "a NULL in a subquery is PostgreSQL's NULL" do
    {filter, index} = subqueries(:native)
    seed(index, [1, nil])
    assert Filter.affected_shapes(filter, insert(%{"n" => "1"})) == MapSet.new(["a", "b"])
    assert Filter.affected_shapes(filter, insert(%{"n" => "2"})) == MapSet.new([])
  end

  test "subqueries in the mode beam concern everything" do
    capture_log(fn ->
      {filter, index} = subqueries(:beam)
      seed(index, [1])
      assert Filter.affected_shapes(filter, insert(%{"n" => "7"})) == MapSet.new(["a", "b", "n"])
      assert for(n <- [1, 7], do: SubqueryIndex.member?(index, "a", @ref, n)) == [true, false]
    end)
  end

  test "unknown names raise" do
    {_filter, index} = subqueries(:native)

    for {id, ref, value, code} <- [
          {"c", @ref, 1, :unknown_shape},
          {"a", ["$sublink", "1"], 1, :unknown_set},
          {"a", @ref, "x", :invalid_value}
        ] do
      error = assert_raise Error, fn -> SubqueryIndex.add_value(index, id, ref, 0, value) end
      assert error.code == code
    end
  end

  test "each entry has a test, and each test an entry" do
    page = Path.expand("../../docs/filter-differences.md", __DIR__) |> File.read!()
    entries = for [_, entry] <- Regex.scan(~r/^### (.+)$/m, page), do: entry

    tests =
      for {name, 1} <- __MODULE__.__info__(:functions),
          "test " <> test <- [Atom.to_string(name)],
          not String.starts_with?(test, "each entry"),
          do: test

    assert Enum.sort(entries) == Enum.sort(tests)
  end
end
