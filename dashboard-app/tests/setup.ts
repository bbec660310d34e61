import { cleanup } from '@testing-library/react'
import { afterEach } from 'vitest'

// What jsdom lacks: capture of pointers, which toasts ask about, and a canvas, which axe does.
Element.prototype.hasPointerCapture ??= () => false
HTMLCanvasElement.prototype.getContext = () => null

afterEach(cleanup)
