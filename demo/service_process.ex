defmodule ShapeRouter.Demo.ServiceProcess do
  @moduledoc """
  Starts the demo's service (`ShapeRouter.Demo.Service`) as a program of its own, hears what it tells, and
  kills it as the demo wants.
  """

  use GenServer

  alias ShapeRouter.Demo.{Server, Statistics}

  @mark "@"
  @start_ms 180_000

  @doc """
  Starts the service. Options: `:server`, `:shapes`, `:storage_dir`, `:statistics` (which has what all lives of the
  service counted).
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, Map.new(opts))

  @doc "Waits until it serves; its port."
  @spec await_ready(pid()) :: :inet.port_number()
  def await_ready(process), do: GenServer.call(process, :await_ready, @start_ms)

  @doc "Kills it with `kill -9`, and starts it again on the same directory and port."
  @spec crash(pid()) :: :ok
  def crash(process), do: GenServer.call(process, :crash, @start_ms)

  @doc "Stops it in order."
  @spec stop(pid()) :: :ok
  def stop(process), do: GenServer.call(process, :stop, 60_000)

  @doc "An event as a line of the service's output."
  @spec line(term()) :: iolist()
  def line(event), do: [@mark, event |> :erlang.term_to_binary() |> Base.encode64(), "\n"]

  @impl true
  def init(opts) do
    state = %{
      server: opts.server,
      # The functions that made the values stay here.
      shapes: for(shape <- opts.shapes, do: put_in(shape.template.values, nil)),
      storage_dir: opts.storage_dir,
      statistics: opts.statistics,
      before: Statistics.get(Statistics.new()),
      now: Statistics.get(Statistics.new()),
      listening: 0,
      os_pid: nil,
      port: nil,
      line: [],
      waiting: [],
      ready?: false
    }

    {:ok, launch(state, true)}
  end

  defp launch(state, begin?) do
    settings = Path.join(state.server.directory, "service.settings")

    File.write!(
      settings,
      :erlang.term_to_binary(%{
        server: state.server,
        shapes: if(begin?, do: state.shapes, else: []),
        storage_dir: state.storage_dir,
        slot: "shape_router_demo",
        port: state.listening,
        begin?: begin?
      })
    )

    code = "ShapeRouter.Demo.Service.main(#{inspect(settings)})"

    # It becomes the VM: what is killed is not a shell.
    port =
      Port.open(
        {:spawn_executable, System.find_executable("elixir")},
        [:binary, :exit_status, :stderr_to_stdout, {:line, 65_536}] ++
          [args: ["-pa", Application.app_dir(:shape_router, "ebin"), "-e", code]]
      )

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    # For the one who cleans up.
    File.write!(Path.join(state.server.directory, "service.pid"), "#{os_pid}\n")
    %{state | port: port, os_pid: os_pid, ready?: false, line: []}
  end

  @impl true
  def handle_call(:await_ready, from, state) do
    if state.ready?,
      do: {:reply, state.listening, state},
      else: {:noreply, %{state | waiting: [{from, :port} | state.waiting]}}
  end

  def handle_call(:crash, from, state) do
    {_, 0} = System.cmd("kill", ["-9", "#{state.os_pid}"])
    ended(state.port)
    before = Map.merge(state.before, state.now, fn _, before, now -> before + now end)
    now = Statistics.get(Statistics.new())
    state = launch(%{state | before: before, now: now}, false)
    {:noreply, %{state | waiting: [{from, :ok} | state.waiting]}}
  end

  def handle_call(:stop, from, state) do
    Port.command(state.port, "stop\n")
    {:noreply, %{state | waiting: [{from, :stopped} | state.waiting]}}
  end

  # What it told last may be in a message still: it is not counted, like what it did not come to tell.
  defp ended(port) do
    receive do
      {^port, {:exit_status, _}} -> :ok
      {^port, {:data, _}} -> ended(port)
    after
      10_000 -> raise "kill -9 did not end the service"
    end
  end

  @impl true
  def handle_info({port, {:data, {:noeol, part}}}, %{port: port} = state),
    do: {:noreply, %{state | line: [state.line, part]}}

  def handle_info({port, {:data, {:eol, part}}}, %{port: port} = state) do
    line = IO.iodata_to_binary([state.line, part])
    state = %{state | line: []}

    case line do
      @mark <> event ->
        {:noreply, event |> Base.decode64!() |> :erlang.binary_to_term() |> heard(state)}

      other ->
        # Warnings and errors.
        IO.puts("    service: " <> other)
        {:noreply, state}
    end
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    case Enum.find(state.waiting, &match?({_, :stopped}, &1)) do
      {from, _} when status == 0 ->
        GenServer.reply(from, :ok)
        {:stop, :normal, state}

      _ ->
        {:stop, {:service_ended, status}, state}
    end
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp heard({:ready, %{port: port}}, state) do
    for {from, what} <- state.waiting,
        do: GenServer.reply(from, if(what == :port, do: port, else: what))

    %{state | listening: port, ready?: true, waiting: []}
  end

  defp heard({:counted, counts}, state) do
    :ok = Statistics.put(state.statistics, state.before, counts)
    %{state | now: counts}
  end

  defp heard(_other, state), do: state

  @impl true
  def terminate(_reason, state) do
    # Its input ends with the port, and it with its input.
    if Port.info(state.port), do: Port.close(state.port)
  end

  @doc "Where the logs lie."
  @spec storage_dir(Server.t()) :: Path.t()
  def storage_dir(server), do: Path.join(server.directory, "logs")
end
