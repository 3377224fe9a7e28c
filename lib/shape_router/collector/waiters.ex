defmodule ShapeRouter.Collector.Waiters do
  @moduledoc false
  # Who waits for what comes next of a shape (`live=true`). Nobody asks the collector for that.

  @type t :: :ets.table()

  @spec new() :: t()
  def new, do: :ets.new(:waiters, [:bag, :public, write_concurrency: true])

  @doc """
  Waits until something is told of the shape, at most so many milliseconds. `news?` is asked once the
  caller is entered: what came before that is not told.
  """
  @spec wait(t(), ShapeRouter.id(), non_neg_integer(), (() -> boolean())) ::
          :changed | :removed | :timeout
  def wait(waiters, id, timeout, news?) do
    ref = make_ref()
    entry = {id, self(), ref, now() + timeout}
    true = :ets.insert(waiters, entry)

    try do
      if news?.() do
        :changed
      else
        receive do
          {^ref, what} -> what
        after
          timeout -> :timeout
        end
      end
    after
      :ets.delete_object(waiters, entry)
      flush(ref)
    end
  end

  @doc "Something came of the shape, or it went: whoever waits hears it."
  @spec tell(t(), ShapeRouter.id(), :changed | :removed) :: :ok
  def tell(waiters, id, what) do
    for {_, pid, ref, _} <- :ets.take(waiters, id), do: send(pid, {ref, what})
    :ok
  end

  @doc "Forgets those who died while they waited."
  @spec sweep(t()) :: non_neg_integer()
  def sweep(waiters) do
    # Whoever lives takes itself out when its time is over.
    :ets.select_delete(waiters, [{{:_, :_, :_, :"$1"}, [{:<, :"$1", now() - 60_000}], [true]}])
  end

  defp flush(ref) do
    receive do
      {^ref, _} -> :ok
    after
      0 -> :ok
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
