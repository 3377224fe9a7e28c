defmodule ShapeRouter.SealedChunk do
  @moduledoc """
  The sealed chunks of a log: ranges of it as files of one JSON array each, which a web server sends
  without reading them.

  They are made by themselves, in the background: when the entries of a log have come to
  `:chunk_bytes_threshold` bytes of JSON, what there is up to a commit becomes a chunk. A chunk is there
  as a whole or not at all. It holds nothing that the log has not: one that was removed is made again when the
  log is opened the next time.
  """

  alias ShapeRouter.{Error, Native, ShapeLog}

  @enforce_keys [:seq, :start, :end, :count, :bytes]
  defstruct [:seq, :start, :end, :count, :bytes, :gzip_bytes]

  @typedoc """
  `seq` is given once. It holds `count` entries behind `start`, up to and including `end`; `bytes` is the length of
  its file, `gzip_bytes` that of its compressed twin, where it has one.
  """
  @type t :: %__MODULE__{
          seq: pos_integer(),
          start: ShapeLog.offset(),
          end: ShapeLog.offset(),
          count: non_neg_integer(),
          bytes: non_neg_integer(),
          gzip_bytes: non_neg_integer() | nil
        }

  @doc """
  Seals now what would be sealed soon. Options:

    * `:cut` - whether what has not come to the threshold is sealed too (default `false`)

  Returns how many chunks were sealed, of all logs of the directory.
  """
  @spec seal(ShapeLog.t(), keyword()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def seal(%ShapeLog{} = log, opts \\ []) do
    with {:ok, opts} <- ShapeRouter.Options.merge(opts, cut: false) do
      log.store |> Native.log_seal(log.id, opts.cut == true) |> Error.result()
    end
  end

  @doc "All chunks, by their start."
  @spec list(ShapeLog.t()) :: [t()] | {:error, Error.t()}
  def list(%ShapeLog{} = log) do
    with chunks when is_list(chunks) <- Error.result(Native.log_chunks(log.store, log.id)),
         do: Enum.map(chunks, &chunk/1)
  end

  @doc "The chunk that begins just behind an offset, or `nil`."
  @spec find(ShapeLog.t(), ShapeLog.offset()) :: t() | nil | {:error, Error.t()}
  def find(%ShapeLog{} = log, offset) do
    case log.store |> Native.log_find_chunk(log.id, offset) |> Error.result() do
      nil -> nil
      {:error, error} -> {:error, error}
      chunk -> chunk(chunk)
    end
  end

  @doc "Removes a chunk. Who is sending its file sends on; the file goes then. `:unknown_chunk` where there is none."
  @spec delete(ShapeLog.t(), pos_integer()) :: :ok | {:error, Error.t()}
  def delete(%ShapeLog{} = log, seq),
    do: log.store |> Native.log_remove_chunk(log.id, seq) |> Error.result()

  @doc """
  Reads a chunk's files whole and compares them with what was written: `:damaged` names the file and the byte.
  Of a log: all its chunks, and the first error.
  """
  @spec verify(ShapeLog.t(), pos_integer() | :all) :: :ok | {:error, Error.t()}
  def verify(log, seq \\ :all)

  def verify(%ShapeLog{} = log, :all) do
    with chunks when is_list(chunks) <- list(log) do
      Enum.find_value(chunks, :ok, fn chunk ->
        case verify(log, chunk.seq) do
          :ok -> nil
          error -> error
        end
      end)
    end
  end

  def verify(%ShapeLog{} = log, seq),
    do: log.store |> Native.log_verify_chunk(log.id, seq) |> Error.result()

  defp chunk({seq, first, last, count, bytes, gzip_bytes}) do
    %__MODULE__{
      seq: seq,
      start: first,
      end: last,
      count: count,
      bytes: bytes,
      gzip_bytes: gzip_bytes
    }
  end
end
