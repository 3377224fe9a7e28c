defmodule ShapeRouter.PredicateTest do
  use ExUnit.Case, async: true
  doctest ShapeRouter.Predicate

  alias ShapeRouter.{Error, Predicate}

  @columns [
    id: :int8,
    price: {:numeric, 10, 2},
    name: :text,
    at: :timestamptz,
    ok: :bool,
    r: :float8,
    u: :uuid
  ]

  defp eval(where, record, opts \\ []) do
    {:ok, predicate} = Predicate.compile(where, Keyword.merge([columns: @columns], opts))
    Predicate.eval(predicate, record)
  end

  test "three-valued logic" do
    assert eval("id = 1", %{id: 1}) == true
    assert eval("id = 1", %{id: 2}) == false
    assert eval("id = 1", %{id: nil}) == nil
    assert eval("id = 1 OR ok", %{id: nil, ok: true}) == true
    assert eval("id = 1 AND ok", %{id: nil, ok: false}) == false
    assert eval("NOT (id = 1)", %{id: nil}) == nil
    assert eval("id IN (1, NULL)", %{id: 2}) == nil
  end

  test "an absent column is unknown only where the answer depends on it" do
    assert eval("id = 1 AND ok", %{ok: false}) == false
    assert {:error, %Error{code: :unknown_value}} = eval("id = 1 AND ok", %{ok: true})
  end

  test "numbers are exact" do
    assert eval("price = 0.1 + 0.2", %{price: "0.30"}) == true
    assert eval("id = 9007199254740993", %{id: "9007199254740992"}) == false
    assert eval("price > 12345678901234567890.5", %{price: 12_345_678_901_234_567_891}) == true
  end

  test "Elixir's own values" do
    assert eval("at = '2024-02-29 12:00:00+01'", %{at: ~U[2024-02-29 11:00:00.000000Z]}) == true
    assert eval("at < '2024-02-29'", %{at: ~U[0000-02-29 11:00:00Z]}) == true
    assert eval("name = 'open'", %{name: :open}) == true
    assert eval("r < 0.5", %{r: 0.25}) == true

    assert eval("price = 1.5", %{price: %{__struct__: Decimal, sign: 1, coef: 15, exp: -1}}) ==
             true

    assert eval("price = 'NaN'", %{price: %{__struct__: Decimal, sign: 1, coef: :NaN, exp: 0}}) ==
             true
  end

  test "parameters" do
    assert eval("id = $1 AND name = $2", %{id: 1, name: "a"}, params: [1, "a"]) == true
    assert eval("id = $1", %{id: 1}, params: ["1"]) == true
    assert eval("id = $1", %{id: 1}, params: [nil]) == nil

    assert {:error, %Error{code: :unknown_parameter}} =
             Predicate.compile("id = $2", columns: @columns, params: [1])
  end

  test "unreadable and raising values are errors with PostgreSQL's SQLSTATE" do
    assert {:error,
            %Error{code: :unreadable_value, sqlstate: "22P02", message: "column id: " <> _}} =
             eval("id = 1", %{id: "one"})

    assert {:error, %Error{code: :evaluation_error, sqlstate: "22012"}} =
             eval("1 / id = 1", %{id: 0})

    assert {:error, %Error{code: :invalid_argument}} = eval("id = 1", :nope)
  end

  test "refused clauses" do
    for {where, code} <- [
          {"id = 1; DROP TABLE x", :syntax_error},
          {"id = 1) OR (1 = 1", :syntax_error},
          {"count(*) > 1", :aggregate},
          {"random() > 0.5", :volatile_function},
          {"id", :datatype_mismatch},
          {String.duplicate("(", 300) <> "ok" <> String.duplicate(")", 300), :too_deep},
          {"name = '" <> String.duplicate("x", 70_000) <> "'", :too_long}
        ] do
      assert {:error, %Error{} = error} = Predicate.compile(where, columns: @columns)
      assert error.code == code, inspect({String.slice(where, 0, 40), error})
    end

    assert {:error, %Error{code: :invalid_argument}} = Predicate.compile("id = 1", nope: 1)
    assert_raise Error, fn -> Predicate.compile!("id =", columns: @columns) end
  end

  test "an evaluation that takes long is made off the scheduler, within limits" do
    name = String.duplicate("a", 60_000)
    assert eval("name LIKE '%a%b'", %{name: name}) == false
    assert eval("name LIKE '%a%a'", %{name: String.duplicate(name, 20)}) == true

    assert {:error, %Error{code: :evaluation_error, sqlstate: "54000"}} =
             eval("repeat(name, 100000) = ''", %{name: name})
  end

  test "the columns that a clause reads" do
    assert "name = 'x' AND id > 1" |> Predicate.compile!(columns: @columns) |> Predicate.columns() ==
             ["id", "name"]
  end
end
