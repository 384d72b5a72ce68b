import { createMemoryLedger } from "../../shared/memory-ledger.ts";
import { ledgerContract } from "./ledger.ts";

ledgerContract("the memory ledger", createMemoryLedger);
