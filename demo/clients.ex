defmodule ShapeRouter.Demo.Clients do
  @moduledoc """
  Clients that follow shapes live while the workload runs. They go on over a crash of the service, from
  the offset that they had come to.
  """

  alias ShapeRouter.Demo.Reader

  @doc "Starts one client for each shape."
  @spec follow([struct()], :inet.port_number()) :: [Task.t()]
  def follow(shapes, port) do
    for shape <- shapes, do: Task.async(fn -> live(Reader.new(shape, port)) end)
  end

  defp live(reader) do
    receive do
      :finish -> Reader.read_all(reader)
    after
      0 -> reader |> Reader.ask(reader.up_to_date?) |> live()
    end
  end

  @doc "Everything is in the logs: the clients read the rest, and are done."
  @spec finish([Task.t()]) :: [Reader.t()]
  def finish(clients) do
    for client <- clients, do: send(client.pid, :finish)
    Task.await_many(clients, 120_000)
  end

  @doc "Reads every shape from its beginning to its end, several at a time."
  @spec read_all([struct()], :inet.port_number(), non_neg_integer()) :: [Reader.t()]
  def read_all(shapes, port, break) do
    shapes
    |> Enum.shuffle()
    |> Enum.chunk_every(25)
    |> Task.async_stream(&read_some(&1, port, break), ordered: false, timeout: 300_000)
    |> Enum.flat_map(fn {:ok, readers} -> readers end)
  end

  # On one connection, one after the other.
  defp read_some(shapes, port, break) do
    {readers, socket} =
      Enum.map_reduce(shapes, nil, fn shape, socket ->
        reader = shape |> Reader.new(port, break: break, socket: socket) |> Reader.read_all()
        {%{reader | socket: nil}, reader.socket}
      end)

    ShapeRouter.Demo.Http.close(socket)
    readers
  end
end
