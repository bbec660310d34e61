import { cleanup } from '@testing-library/react'
import { afterEach, vi } from 'vitest'

// What jsdom lacks: capture of pointers, which toasts ask about, and a canvas, which axe does.
Element.prototype.hasPointerCapture ??= () => false
HTMLCanvasElement.prototype.getContext = () => null

// Testing Library looks here for fake timers to advance, and would wait for ever without.
Object.assign(globalThis, { jest: { advanceTimersByTime: vi.advanceTimersByTime.bind(vi) } })

afterEach(cleanup)
