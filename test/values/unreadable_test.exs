defmodule ShapeRouter.Values.UnreadableTest do
  # A value that is none of its column's type: the shapes that read it are included and counted, no
  # other shape is touched, and `Predicate.eval` says which column it was.
  use ExUnit.Case, async: true

  alias ShapeRouter.{Error, Predicate}

  defmodule Other do
    defstruct [:x]
  end

  @decimal %{__struct__: Decimal, sign: 1, coef: 15, exp: -1}

  # The column's type, values that it does not take, and the SQLSTATE.
  def values do
    [
      {:bool, [1, 1.5, "x", :maybe, [], %{}], "22P02"},
      {:int4, [true, "x", 1.5, @decimal, ~D[2024-01-01], [1], %{}, {1, 2}, self()], "22P02"},
      {:int4, [2_147_483_648, 3.0e9, "99999999999"], "22003"},
      {:int8, [12_345_678_901_234_567_890], "22003"},
      {:numeric, [true, "x", [1], ~T[08:00:00]], "22P02"},
      {:numeric, [%{@decimal | exp: 1_000_000_000}], "22003"},
      {:text, [1, 1.5, true, 12_345_678_901_234_567_890, @decimal, ~D[2024-01-01], ["a"], %{}],
       "22P02"},
      {:text, [<<0xFF>>, "a\0b"], "22021"},
      {{:enum, ["a", "b"]}, [:c, "c", 1, ["a"], %{}], "22P02"},
      {:date, [20_240_101, @decimal, %Other{}, %{~D[2024-01-01] | calendar: Other}], "22P02"},
      {:interval, [42, @decimal, ~D[2024-01-01], ~T[08:00:00]], "22P02"},
      {:bytea, [~D[2024-01-01], 5, [1]], "22P02"},
      {{:array, :int4}, [1, true, %{}, ["x"], [1.5], [[1], 2], [1, [2]], [[1, 2], [3]], [[]]],
       "22P02"},
      {{:array, :int4}, [[1 | 2], [[[[[[[1]]]]]]], [{1}], [%{}], [@decimal]], "22P02"},
      {{:array, :int4}, [[2_147_483_648]], "22003"},
      {{:array, :text}, [[1], [true], [<<0xFF>>, ~D[2024-01-01]]], nil},
      {:jsonb, ["{", {1}, %{a: self()}, %{a: <<0xFF>>}, [1 | 2], %{{1} => 2}, %Other{}], "22P02"},
      {:jsonb, [%{@decimal | coef: :NaN}, [%{@decimal | coef: :inf}]], "22P02"},
      {:jsonb, ["\0" |> List.wrap()], "22P05"}
    ]
  end

  test "Predicate.eval tells the column and PostgreSQL's SQLSTATE" do
    for {type, values, sqlstate} <- values(), value <- values do
      predicate = Predicate.compile!("c IS NULL", columns: [id: :int8, c: type])

      assert {:error, %Error{code: :unreadable_value} = error} =
               Predicate.eval(predicate, %{id: 1, c: value}),
             inspect({type, value})

      assert error.message =~ "column c:"
      assert sqlstate in [nil, error.sqlstate], inspect({type, value, error})
    end
  end

  test "the shapes that read it are included and counted, the others are not" do
    for {type, values, _sqlstate} <- values(), value <- values do
      {:ok, router} = ShapeRouter.new("t", "x", columns: [id: :int8, c: type])
      :ok = ShapeRouter.add_shape(router, 1, "id = 1")
      :ok = ShapeRouter.add_shape(router, 2, "id = 2")
      :ok = ShapeRouter.add_shape(router, 3, "c IS NOT NULL")
      :ok = ShapeRouter.add_shape(router, 4, "id = 2 AND c IS NOT NULL")
      change = %{op: :insert, new_record: %{id: 1, c: value}}

      assert ShapeRouter.route(router, change, classify: true) == [{1, :insert}, {3, :unknown}],
             inspect({type, value})

      assert ShapeRouter.metrics(router)["eval_errors"] == 1
    end
  end

  test "a shape filed by equality is found for a value that is unreadable" do
    {:ok, router} = ShapeRouter.new("t", "x", columns: [id: :int8, c: {:array, :int4}])
    :ok = ShapeRouter.add_shape(router, 1, "c = '{1}'")
    :ok = ShapeRouter.add_shape(router, 2, "id = 2")
    change = %{op: :insert, new_record: %{id: 1, c: ["x"]}}
    assert ShapeRouter.route(router, change, classify: true) == [{1, :unknown}]
  end

  test "a value that no clause reads harms nobody" do
    {:ok, router} = ShapeRouter.new("t", "x", columns: [id: :int8, c: :int4])
    :ok = ShapeRouter.add_shape(router, 1, "id = 1")
    assert ShapeRouter.route(router, %{op: :insert, new_record: %{id: 1, c: %{}}}) == [1]
  end

  test "parameters that are no values are refused by number" do
    for value <- [{1}, self(), [1 | 2], [[[[[[[1]]]]]]], %{a: self()}, [%{}], <<0xFF>>] do
      assert {:error, %Error{code: :invalid_argument, message: message}} =
               Predicate.compile("id = $2", columns: [id: :int8], params: [1, value])

      assert message =~ "$2", inspect(value)
    end
  end
end
