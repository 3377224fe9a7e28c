defmodule ShapeRouter.KillChild do
  @moduledoc """
  What `ShapeRouter.KillTest` kills: a collector in a program of its own, and the source of its transactions.

  What it was told is noted in a file, a line each: `ack LSN`; `adding ID` before and `added ID` after a shape was
  added, and so for those removed.
  """

  alias ShapeRouter.{KillWorkload, ShapeLogCollector}

  # So many transactions and fragments are not taken yet, as a source does it.
  @credits 8
  @shapes 12
  @shape_every 5

  @doc "Goes on until it is killed."
  @spec main(Path.t(), Path.t()) :: no_return()
  def main(dir, notes) do
    # With the test that started it, too.
    spawn(fn -> IO.read(:stdio, :line) && System.halt(0) end)
    {:ok, _} = Application.ensure_all_started(:shape_router)
    {:ok, collector} = ShapeLogCollector.start_link(KillWorkload.options(dir))
    {:ok, notes} = File.open(notes, [:append, :raw])
    durable = div(ShapeLogCollector.durable_lsn(collector), 10)
    # What the source was not told comes again: a few that are in the logs already.
    state = KillWorkload.at(max(0, durable - 3))
    IO.puts("ready")
    run(%{collector: collector, notes: notes, durable: durable, credits: @credits}, state)
  end

  defp run(child, state) do
    {{n, _} = state, steps} = KillWorkload.next(state)

    child =
      n
      |> KillWorkload.transaction(steps)
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
      clause = KillWorkload.clause(n)
      note(child, "adding #{id}")

      :ok =
        ShapeLogCollector.add_shape(child.collector, id, {"todos", clause},
          rows: KillWorkload.rows(state, clause),
          descriptor: n
        )

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
