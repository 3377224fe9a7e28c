defmodule ShapeRouter.ReadersTest do
  @moduledoc "Readers on every scheduler, whatever is done to the router meanwhile."
  use ExUnit.Case, async: true

  import ShapeRouter.Schedulers

  alias ShapeRouter.Error

  @columns [columns: [id: :int8, n: :int8, s: :text], primary_key: [:id]]
  @settled 2_000

  defp router do
    {:ok, router} = ShapeRouter.new("readers", "todos", @columns)
    :ok = ShapeRouter.add_shapes(router, for(id <- 1..@settled, do: {id, "n = #{id}"}))
    router
  end

  defp insert(n), do: %{op: :insert, new_record: %{"id" => "1", "n" => "#{n}", "s" => "text"}}

  # What is settled is in each answer; beside it only what comes and goes.
  defp right?(ids, n) when is_list(ids),
    do: n in ids and Enum.all?(ids, &(&1 == n or &1 > @settled))

  defp right?(_error, _n), do: false

  defp read(router, stop, count \\ 0) do
    if :atomics.get(stop, 1) == 1 do
      count
    else
      n = :rand.uniform(@settled)
      [first, second] = ShapeRouter.route_batch(router, [insert(n), insert(n)])
      true = right?(ShapeRouter.route(router, insert(n)), n)
      true = right?(first, n) and right?(second, n)
      read(router, stop, count + 1)
    end
  end

  test "no answer is wrong during adds, removes and rebuilds" do
    router = router()
    stop = :atomics.new(1, [])
    readers = on_schedulers(fn _ -> read(router, stop) end)

    for round <- 1..40 do
      first = 10_000 + 1_000 * round

      some =
        for id <- first..(first + 199), do: {id, "n = #{rem(id, @settled) + 1} AND s = 'text'"}

      :ok = ShapeRouter.add_shapes(router, some)
      :ok = ShapeRouter.add_shape(router, first + 500, "length(s) = 4", [round])
      :ok = ShapeRouter.add_shape(router, first + 501, "s LIKE '%ex%'")
      if rem(round, 4) == 0, do: :ok = ShapeRouter.rebuild(router)
      for {id, _} <- some, do: :ok = ShapeRouter.remove_shape(router, id)
      :ok = ShapeRouter.remove_shape(router, first + 500)
      :ok = ShapeRouter.remove_shape(router, first + 501)
    end

    :atomics.put(stop, 1, 1)
    assert Enum.all?(results(readers), &(&1 > 0))
    assert ShapeRouter.shapes(router) == Enum.to_list(1..@settled)
  end

  test "closing during a route ends it with an error, and nothing else" do
    for _ <- 1..10 do
      router = router()
      :ok = ShapeRouter.add_shapes(router, for(id <- 1..5_000, do: {@settled + id, "id = 1"}))

      readers =
        on_schedulers(fn _ ->
          fn -> ShapeRouter.route(router, insert(7)) end
          |> Stream.repeatedly()
          |> Enum.find(fn answer -> not right?(answer, 7) end)
        end)

      Process.sleep(5)
      :ok = ShapeRouter.close(router)
      for answer <- results(readers), do: assert({:error, %Error{code: :closed}} = answer)
    end
  end
end
