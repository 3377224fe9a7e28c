defmodule ShapeRouter.Sendfile.Watchdog do
  @moduledoc false
  # Ends processes that announced a deadline and let it pass. A process that waits in
  # `:file.sendfile/5` hears nothing, not even that its socket was closed.

  use GenServer

  @table __MODULE__
  @every 500

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "The calling process ends, if it does not come back within so many milliseconds."
  @spec expect(timeout()) :: :ok
  def expect(:infinity), do: :ok

  def expect(timeout) do
    true = :ets.insert(@table, {self(), now() + timeout})
    :ok
  end

  @doc "It came back."
  @spec done() :: :ok
  def done do
    true = :ets.delete(@table, self())
    :ok
  end

  @impl true
  def init(_) do
    :ets.new(@table, [:named_table, :public, write_concurrency: true])
    {:ok, nil, @every}
  end

  @impl true
  def handle_info(:timeout, state) do
    late = :ets.select(@table, [{{:"$1", :"$2"}, [{:<, :"$2", now()}], [:"$1"]}])

    for pid <- late do
      Process.exit(pid, :kill)
      :ets.delete(@table, pid)
    end

    {:noreply, state, @every}
  end

  def handle_info(_other, state), do: {:noreply, state, @every}

  defp now, do: System.monotonic_time(:millisecond)
end
