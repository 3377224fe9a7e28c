defmodule ShapeRouter.Http.Listener do
  @moduledoc false
  # The socket that is listened on, and the processes that accept. Each connection is a task of its own.

  use GenServer

  require Logger

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, Map.new(opts))

  @spec port(pid()) :: :inet.port_number()
  def port(listener), do: GenServer.call(listener, :port)

  @impl true
  def init(opts) do
    # The acceptors end with it, and it with them: then both begin anew.
    case :gen_tcp.listen(opts.port, opts.listen) do
      {:ok, socket} -> {:ok, %{opts: opts, socket: socket}, {:continue, :accept}}
      {:error, reason} -> {:stop, {:listen, opts.port, reason}}
    end
  end

  @impl true
  def handle_continue(:accept, %{opts: opts, socket: socket} = state) do
    for _ <- 1..opts.acceptors, do: spawn_link(fn -> accept(socket, start(opts), opts) end)
    {:noreply, state}
  end

  @impl true
  def handle_call(:port, _from, state) do
    {:ok, port} = :inet.port(state.socket)
    {:reply, port, state}
  end

  defp start(opts), do: opts.supervisor.()

  defp accept(listening, supervisor, opts) do
    case :gen_tcp.accept(listening) do
      {:ok, socket} ->
        hand_over(socket, supervisor, opts)
        accept(listening, supervisor, opts)

      # No descriptors left, say: others may give some back.
      {:error, reason} when reason in [:emfile, :enfile, :enobufs, :enomem] ->
        Logger.warning("connections wait to be accepted: #{:inet.format_error(reason)}")
        Process.sleep(100)
        accept(listening, supervisor, opts)

      {:error, :econnaborted} ->
        accept(listening, supervisor, opts)

      {:error, reason} ->
        exit({:accept, reason})
    end
  end

  defp hand_over(socket, supervisor, opts) do
    serve = fn ->
      receive do
        :yours -> opts.serve.(socket)
      end
    end

    case Task.Supervisor.start_child(supervisor, serve) do
      {:ok, pid} ->
        # It may have gone already: its death closes nothing then, so do we.
        if :gen_tcp.controlling_process(socket, pid) == :ok,
          do: send(pid, :yours),
          else: :gen_tcp.close(socket)

      {:error, :max_children} ->
        opts.full.(socket)
    end
  end
end
