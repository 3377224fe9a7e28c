defmodule ShapeRouter.RouteBatchTest do
  # A batch is answered as its changes are, one by one: across groups, slices and errors.
  use ExUnit.Case, async: true

  alias ShapeRouter.Error

  @columns [id: :int8, user_id: :int8, status: :text]

  defp router(shapes) do
    {:ok, router} = ShapeRouter.new("t", "todos", columns: @columns, primary_key: [:id])
    :ok = ShapeRouter.add_shapes(router, shapes)
    router
  end

  defp change(n) do
    row = %{"id" => "#{n}", "user_id" => "#{rem(n, 7)}", "status" => "open"}

    case rem(n, 4) do
      0 -> %{op: :insert, new_record: row}
      1 -> %{op: :update, old_record: row, new_record: %{row | "user_id" => "3"}}
      2 -> %{op: :delete, old_key: n}
      3 -> %{op: :update, new_record: Map.delete(row, "status"), changed_columns: ["user_id"]}
    end
  end

  test "of any length" do
    router =
      router([
        {1, "user_id = 3"},
        {2, "user_id > 4 AND status = 'open'"},
        {3, "id = 18", keys: [18]},
        {4, nil, keys: []}
      ])

    for length <- [0, 1, 15, 16, 17, 100], opts <- [[], [classify: true], [old_row: :ignore]] do
      changes = Enum.map(1..length//1, &change/1)
      expected = Enum.map(changes, &ShapeRouter.route(router, &1, opts))
      assert ShapeRouter.route_batch(router, changes, opts) == expected
    end
  end

  test "where answers take more than one slice" do
    router = router([{0, "user_id = 6"} | for(id <- 1..30_000, do: {id, "user_id = 5"})])
    changes = for n <- 1..40, do: %{op: :insert, new_record: %{"user_id" => "#{n}"}}
    changes = changes ++ [%{op: :truncate} | changes]
    five = Enum.to_list(1..30_000)
    answers = ShapeRouter.route_batch(router, changes)
    once = [[], [], [], [], five, [0]] ++ List.duplicate([], 34)
    assert answers == once ++ [[0 | five] | once]
    assert ShapeRouter.metrics(router)["continuations"] > 0
  end

  test "an error names the change, in whatever group it is" do
    router = router([{1, "user_id = 3"}])
    changes = for n <- 1..40, do: change(4 * n)

    for place <- [0, 15, 16, 39] do
      for wrong <- [%{}, %{op: :insert}, %{op: :insert, new_record: 5}, :none] do
        changes = List.replace_at(changes, place, wrong)

        assert {:error, %Error{code: :invalid_change} = error} =
                 ShapeRouter.route_batch(router, changes)

        assert Exception.message(error) =~ "change #{place}: "
      end
    end

    assert {:error, %Error{code: :invalid_argument}} =
             ShapeRouter.route_batch(router, [hd(changes) | :improper])

    assert {:error, %Error{code: :invalid_argument}} = ShapeRouter.route_batch(router, :none)
  end
end
