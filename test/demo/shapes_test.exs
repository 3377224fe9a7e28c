defmodule ShapeRouter.Demo.ShapesTest do
  @moduledoc "The demo's shapes: their clauses, and what they are made of."
  use ExUnit.Case, async: true

  alias ShapeRouter.Demo.{Schema, Shapes, Template}

  test "there are as many as wanted, of every template; of a few it is not known what they hold" do
    for count <- [100, 1_000, 5_000] do
      shapes = Shapes.make(count, 1)
      assert length(shapes) == count
      assert Enum.map(shapes, & &1.id) == Enum.to_list(1..count)
      assert shapes |> Enum.map(& &1.template.clause) |> Enum.uniq() |> length() > 20
      addresses = Enum.map(shapes, &{&1.table, &1.where})
      assert addresses == Enum.uniq(addresses)
      assert Enum.count(shapes, &(not &1.known?)) in 5..40
    end
  end

  test "a seed gives the same shapes again" do
    where = fn seed -> seed |> then(&Shapes.make(300, &1)) |> Enum.map(& &1.where) end
    assert where.(7) == where.(7)
    assert where.(7) != where.(8)
  end

  test "every clause compiles with the columns of its table" do
    for shape <- Shapes.make(300, 3),
        shape.where != nil,
        not Template.subquery?(shape.template) do
      assert {:ok, _} =
               ShapeRouter.Predicate.compile(shape.where, columns: Schema.columns(shape.table))
    end
  end

  test "values become literals in one place, and columns of a table in the other" do
    template = %Template{
      table: "todos",
      weight: 1,
      clause: "a = $1 AND b LIKE $2 AND c > $3",
      types: ~w(int8 text numeric),
      values: fn -> [] end
    }

    assert Template.where(template, [5, "it's", {:raw, "1.50"}]) ==
             "a = 5 AND b LIKE 'it''s' AND c > 1.50"

    assert Template.over_parameters(template) == "(a = p.p1 AND b LIKE p.p2 AND c > p.p3)"
    assert Template.where(%{template | clause: nil}, []) == nil
    assert Template.over_parameters(%{template | clause: nil}) == "true"
  end
end
