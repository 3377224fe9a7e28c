defmodule ShapeRouter.Sendfile do
  @moduledoc """
  Sends a part of a file to a socket without reading it: the kernel copies from the page cache.

  `:file.sendfile/5` waits for ever on a client that stopped reading, and does not look at the
  socket's `send_timeout`. Here a transfer goes in slices, and a process that makes no progress for
  `:timeout` is ended, and its socket with it. So send from a process that belongs to one connection.
  """

  alias ShapeRouter.Sendfile.Watchdog

  # Small enough that a slow client finishes one in time, large enough that slices cost nothing.
  @slice 1_048_576

  @doc """
  Sends `length` bytes from `position` on. Options:

    * `:timeout` - the longest time for one MiB, in milliseconds (default 60,000)

  Returns how many bytes were sent: fewer than asked where the file ends before.
  """
  @spec send_range(:gen_tcp.socket(), Path.t(), non_neg_integer(), non_neg_integer(), keyword()) ::
          {:ok, non_neg_integer()} | {:error, :inet.posix() | :closed | :badarg}
  def send_range(socket, path, position, length, opts \\ []) do
    timeout = Keyword.get(opts, :timeout, 60_000)

    with {:ok, file} <- :file.open(path, [:raw, :read, :binary]) do
      try do
        slices(socket, file, position, length, timeout, 0)
      after
        :file.close(file)
      end
    end
  end

  defp slices(_socket, _file, _position, 0, _timeout, sent), do: {:ok, sent}

  defp slices(socket, file, position, left, timeout, sent) do
    slice = min(left, @slice)
    :ok = Watchdog.expect(timeout)

    case :file.sendfile(file, socket, position, slice, []) do
      {:ok, 0} ->
        Watchdog.done()
        {:ok, sent}

      {:ok, bytes} ->
        Watchdog.done()
        slices(socket, file, position + bytes, left - bytes, timeout, sent + bytes)

      {:error, reason} ->
        Watchdog.done()
        {:error, reason}
    end
  end
end
