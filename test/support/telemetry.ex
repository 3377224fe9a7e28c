defmodule :telemetry do
  @moduledoc "Stands for the application of this name, which a host may have."

  @doc "Sends the caller `{:telemetry, event, measurements, metadata}` for these events, until it ends."
  def listen(prefix) do
    {:ok, _} = Registry.register(:telemetry_listeners, prefix, [])
    :ok
  end

  def execute(event, measurements, metadata) do
    # Not started where a test of ours starts the application by itself.
    if Process.whereis(:telemetry_listeners) do
      Registry.dispatch(:telemetry_listeners, event, fn listeners ->
        for {pid, _} <- listeners, do: send(pid, {:telemetry, event, measurements, metadata})
      end)
    end

    :ok
  end
end
