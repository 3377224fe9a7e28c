defmodule ShapeRouter.KillChild do
  @moduledoc """
  What `ShapeRouter.KillTest` and `ShapeRouter.SubqueryKillTest` kill: a collector in a program of its own, and the source of its transactions.

  What it was told is noted in a file, a line each: `ack LSN`; `adding ID` before and `added ID` after a shape was
  added, and so for those removed.
  """

  alias ShapeRouter.ShapeLogCollector

  # So many transactions and fragments are not taken yet, as a source does it.
  @credits 8
  @shapes 12
  @shape_every 5

  @doc "Goes on until it is killed."
  @spec main(Path.t(), Path.t(), module()) :: no_return()
  def main(dir, notes, workload) do
    # With the test that started it, too.
    spawn(fn -> IO.read(:stdio, :line) && System.halt(0) end)
    {:ok, _} = Application.ensure_all_started(:shape_router)
    {:ok, collector} = ShapeLogCollector.start_link(workload.options(dir))
    {:ok, notes} = File.open(notes, [:append, :raw])
    durable = div(ShapeLogCollector.durable_lsn(collector), 10)
    # What the source was not told comes again: a few that are in the logs already.
    state = workload.at(max(0, durable - 3))
    IO.puts("ready")
    child = %{collector: collector, workload: workload, notes: notes, durable: durable}
    run(Map.put(child, :credits, @credits), state)
  end

  defp run(child, before) do
    {{n, _} = state, steps} = child.workload.next(before)

    child =
      before
      |> child.workload.transaction(steps)
      |> Enum.reduce(child, fn transaction, child ->
        child = heard(child)
        send(child.collector, {:shape_router_source, self(), {:transaction, transaction}})
        %{child | credits: child.credits - 1}
      end)

    if n > child.durable and rem(n, @shape_every) == 0, do: shape(child, n, state)
    run(child, state)
  end

  # The shape whose turn it is goes, or comes.
  defp shape(child, n, state) do
    id = rem(div(n, @shape_every), @shapes) + 1

    if id in ShapeLogCollector.shapes(child.collector) do
      note(child, "removing #{id}")
      :ok = ShapeLogCollector.remove_shape(child.collector, id)
      note(child, "removed #{id}")
    else
      note(child, "adding #{id}")
      :ok = child.workload.add(child.collector, id, state)
      note(child, "added #{id}")
    end
  end

  defp heard(child) do
    receive do
      {:"$gen_cast", {:ack, lsn}} ->
        note(child, "ack #{lsn}")
        heard(child)

      {:"$gen_cast", {:ready, more}} ->
        heard(%{child | credits: child.credits + more})

      {:EXIT, _, reason} ->
        exit(reason)
    after
      if(child.credits > 0, do: 0, else: 30_000) ->
        if child.credits > 0, do: child, else: raise("the collector takes nothing any more")
    end
  end

  # To the kernel's memory: a killed program loses nothing of that.
  defp note(child, line), do: :ok = :file.write(child.notes, [line, "\n"])
end
