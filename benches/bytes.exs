# By how many bytes a shape this process grows, as the operating system says: of one kind, in a VM that
# does nothing else, so that no other measurement's leavings count. `bin/bench table` runs it.
#
#     mix run benches/bytes.exs router | filter_native | filter_native_with_shapes | filter_beam SHAPES
#
# Shapes are `user_id = K`; of the filter, with handles of 25 bytes. Prints a number.

for name <- ~w(measure workload), do: Code.require_file("support/#{name}.exs", __DIR__)

defmodule ShapeRouter.Bench.Bytes do
  import ShapeRouter.Bench.Measure
  import ShapeRouter.Bench.Workload

  alias ShapeRouter.Filter

  def main([kind, shapes]) do
    count = String.to_integer(shapes)
    # Code is loaded, threads are started, buffers are there.
    filled(kind, 2_000)
    before = settled()
    filled = filled(kind, count)
    grown = settled() - before
    # So that it still lives.
    ask(kind, filled)
    IO.puts("bytes a shape: #{Float.round(grown / count, 1)}")
  end

  # In a process of its own, whose garbage goes with it.
  defp filled(kind, count) do
    empty = empty(kind)
    filled = Task.await(Task.async(fn -> fill(empty, count) end), :infinity)
    ask(kind, filled)
    filled
  end

  defp empty("router"), do: router(:equality, 0) |> elem(0)
  defp empty("filter_native"), do: Filter.new(filter: :native, keep_shapes: false)
  defp empty("filter_native_with_shapes"), do: Filter.new(filter: :native)
  defp empty("filter_beam"), do: Filter.new(filter: :beam)

  defp fill(%Filter{} = filter, count), do: Filter.add_shapes(filter, host_shapes(count))

  defp fill(router, count) do
    add(router, :equality, count)
    router
  end

  defp ask("router", router), do: [1] = ShapeRouter.route(router, insert(of_user(1)))

  defp ask(_filter, filter) do
    change = host_change(fn -> insert(of_user(1)) end).()
    1 = MapSet.size(Filter.affected_shapes(filter, change))
  end
end

ShapeRouter.Bench.Bytes.main(System.argv())
