defmodule Host.Day do
  @moduledoc "A day's traffic of this service; prints what came of it, a line for each figure."

  alias Host.Changes.{DeletedRecord, NewRecord, Relation, TruncatedRelation, UpdatedRecord}
  alias Host.{Collector, Shape}

  @todos {"public", "todos"}

  def run do
    opts = Application.get_env(:host, Collector)
    # What there was before the restart.
    users = Stream.map(1..500, &{"user-#{&1}", Shape.new("user_id", "=", &1, :int8)})
    {:ok, _} = Collector.start_link([shapes: users] ++ opts)

    for price <- 1..20,
        do: :ok = Collector.add_shape("price-#{price}", Shape.new("price", ">", price, :numeric))

    # What only an exact comparison gets right.
    :ok = Collector.add_shape("exact", Shape.new("price", "=", "12345678901234567.1", :numeric))

    hits = Enum.sum(for change <- changes(), do: MapSet.size(Collector.handle_change(change)))
    for user <- 1..500//2, do: :ok = Collector.remove_shape("user-#{user}")
    later = Enum.sum(for change <- changes(), do: MapSet.size(Collector.handle_change(change)))
    show("hits", hits)
    show("hits after half of the users left", later)

    show("truncate", size(%TruncatedRelation{relation: @todos}))
    show("renamed", size(%Relation{id: 16_385, schema: "public", table: "renamed", columns: []}))
    same = %Relation{id: 16_385, schema: "public", table: "todos", columns: []}
    show("unchanged", size(same))

    near = insert(%{"id" => "1", "user_id" => "0", "price" => "12345678901234567.2"})
    show("exact", "exact" in Collector.handle_change(near))

    differences = Collector.differences()
    show("compared", differences.compared)
    show("differing", differences.differing)
    show("failed", differences.failed)

    for cause <- differences.causes,
        do: show("cause", "#{cause.kind} #{cause.clause} #{cause.count}")

    show(
      "metrics",
      String.contains?(
        elem(Host.Telemetry.metrics(), 1),
        "shape_router_shapes{table=\"public.todos\"}"
      )
    )
  end

  defp size(change), do: change |> Collector.handle_change() |> MapSet.size()
  defp show(name, value), do: IO.puts("#{name}: #{value}")

  defp changes do
    for number <- 1..600 do
      row = %{"id" => "#{number}", "user_id" => "#{number}", "price" => "#{rem(number, 25)}.5"}

      case rem(number, 3) do
        0 -> insert(row)
        1 -> %UpdatedRecord{relation: @todos, record: row, old_record: %{row | "user_id" => "1"}}
        2 -> %DeletedRecord{relation: @todos, old_record: row}
      end
    end
  end

  defp insert(row), do: %NewRecord{relation: @todos, record: row}
end
