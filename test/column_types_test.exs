defmodule ShapeRouter.ColumnTypesTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.{Error, Predicate}

  # Every way to say a type, a clause that needs it to be that type, and a value for which it is true.
  @types [
    {:int8, "c + 1 = 9223372036854775807", "9223372036854775806"},
    {"timestamp(3) with time zone", "c > '2024-01-01'::timestamptz", "2024-02-29 12:00:00+00"},
    {"text[]", "c @> '{a}'", "{a,b}"},
    {"numeric(10,2)", "c = 1.5", "1.50"},
    {"_int4", "c[1] = 5", "{5}"},
    {{:numeric, 10, 2}, "c = 1.5", "1.50"},
    {{:numeric, 3, -2}, "c = 1500", "1500"},
    {{:varchar, 5}, "c || 'x' = 'abx'", "ab"},
    {{:bpchar, 5}, "c = 'ab'", "ab   "},
    {{:array, :int4}, "c = ARRAY[1,2]", "{1,2}"},
    {{:array, {:array, :int4}}, "c[2][1] = 3", "{{1,2},{3,4}}"},
    {{:array, {:numeric, 10, 2}}, "1.5 = ANY(c)", "{1.50}"},
    {{:array, {:varchar, 5}}, "c && '{a,b}'", "{b}"},
    {{:array, {:enum, ["low", "high"]}}, "c[1] < c[2]", "{low,high}"},
    {{:array, {:collate, :text, "C"}}, "c[1] < c[2]", "{B,a}"},
    {{:array, "timestamp(3) with time zone"}, "c[1] > '2024-01-01'", "{infinity}"},
    {{:enum, ["low", "high"]}, "c > 'low'", "high"},
    {{:enum, [:low, "a label, with \"signs\""]}, "c = 'a label, with \"signs\"'",
     "a label, with \"signs\""},
    {{:collate, :text, "C"}, "c < 'b'", "a"},
    {{:collate, {:varchar, 5}, "POSIX"}, "upper(c) = 'Aä'", "aä"},
    {{:collate, :text, "C.UTF-8"}, "upper(c) = 'AÄ'", "aä"},
    {{:collate, :text, "de_DE"}, "c = 'a' AND c LIKE 'a%'", "a"}
  ]

  for {type, where, value} <- @types do
    @type_ type
    @where where
    @value value

    test "#{inspect(type)} in Predicate.compile" do
      assert {:ok, predicate} = Predicate.compile(@where, columns: [c: @type_])
      assert Predicate.eval(predicate, %{c: @value}) == true
      assert Predicate.eval(predicate, %{"c" => nil}) == nil
    end

    test "#{inspect(type)} in ShapeRouter.new" do
      assert {:ok, router} = ShapeRouter.new("t", "x", columns: [{"c", @type_}])
      assert :ok = ShapeRouter.add_shape(router, 1, @where)
      assert ShapeRouter.route(router, %{op: :insert, new_record: %{"c" => @value}}) == [1]
      assert ShapeRouter.route(router, %{op: :insert, new_record: %{c: nil}}) == []
    end
  end

  test "an enum is ordered as its labels are, and has no others" do
    columns = [c: {:enum, ["low", "middle", "high"]}]
    predicate = Predicate.compile!("c >= 'middle'", columns: columns)
    answers = for label <- ~w(low middle high), do: Predicate.eval(predicate, %{c: label})
    assert answers == [false, true, true]
    assert {:error, error} = Predicate.compile("c = 'none'", columns: columns)
    assert {error.code, error.sqlstate} == {:invalid_literal, "22P02"}
  end

  test "ordering text under another collation is refused" do
    columns = [c: {:collate, :text, "de_DE"}]
    assert {:error, %Error{code: :not_supported}} = Predicate.compile("c < 'a'", columns: columns)
    assert {:ok, _} = Predicate.compile("c COLLATE \"C\" < 'a'", columns: columns)
    assert {:ok, _} = Predicate.compile("c < 'a'", columns: [c: {:collate, :text, "default"}])
  end

  # What is no type, and what the error names.
  @refused [
    {{:array, :nope}, :unknown_type, "nope"},
    {{:numeric, 2000, 0}, :invalid_schema, "precision"},
    {{:numeric, 5, 2000}, :invalid_schema, "scale"},
    {{:varchar, 0}, :invalid_schema, "length"},
    {{:bpchar, -1}, :invalid_schema, "length"},
    {{:collate, :int8, "C"}, :invalid_schema, "collations"},
    {{:collate, {:enum, ["a"]}, "C"}, :invalid_schema, "collations"},
    {{:collate, :text, :C}, :invalid_argument, "column type"},
    {{:enum, ["a", "b", :a]}, :invalid_argument, "twice"},
    {{:enum, [1]}, :invalid_argument, "label"},
    {{:enum, [nil]}, :invalid_argument, "label"},
    {{:enum, [String.duplicate("x", 64)]}, :invalid_argument, "label"},
    {{:enum, [<<0xFF>>]}, :invalid_argument, "label"},
    {{:enum, ["a" | "b"]}, :invalid_argument, "labels"},
    {{:enum, "a"}, :invalid_argument, "column type"},
    {{:nope, :int8}, :invalid_argument, "column type"},
    {1, :invalid_argument, "column type"},
    {nil, :invalid_argument, "column type"}
  ]

  test "what is no type is refused, with the column's name" do
    for {type, code, word} <- @refused do
      columns = [id: :int8, odd_one: type]

      for result <- [
            Predicate.compile("id = 1", columns: columns),
            ShapeRouter.new("t", "x", columns: columns)
          ] do
        assert {:error, %Error{code: ^code, message: message}} = result, inspect(type)
        assert message =~ "odd_one"
        assert message =~ word, message
      end
    end

    deep = Enum.reduce(1..100_000, :int8, fn _, type -> {:array, type} end)

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeRouter.new("t", "x", columns: [c: deep])
  end

  test "a Relation message's OID, which an enum has another of in each database, changes nothing" do
    {:ok, router} = ShapeRouter.new("t", "x", columns: [id: :int8, c: {:enum, ["a", "b"]}])
    :ok = ShapeRouter.add_shape(router, 1, "c = 'b'")

    relation = %ShapeRouter.Changes.Relation{
      id: 1,
      schema: "public",
      table: "x",
      columns: [%{name: "id", type_oid: 20}, %{name: "c", type_oid: 16_700}]
    }

    assert ShapeRouter.route(router, relation) == []
    assert ShapeRouter.route(router, %{op: :insert, new_record: %{id: 1, c: "a"}}) == []
    assert ShapeRouter.route(router, %{op: :insert, new_record: %{id: 1, c: :b}}) == [1]
  end
end
